// A certainty in percent as reports say it (report/view.py): cut, not rounded, so that 0.698 is below the 70 % of "unsure";
// never none and never all.

export function certainty(probability) {
  const whole = Math.floor(100 * probability + 1e-6);
  return whole < 1 ? "<1" : probability >= 0.995 ? ">99" : String(whole);
}
