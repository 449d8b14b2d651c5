"""What the report shows, in which order."""

from marrowscope.differential.result import Flag
from marrowscope.report.view import flag_views


def test_doubts_about_the_slide_stand_before_what_was_counted_on_it() -> None:
    above = Flag(code="blasts-20", title="Blasts", verdict="above", text="Blasts above 20 %.")
    doubt = Flag(code="slide", title="Slide", verdict="note", text="The red cells contradict the spacing.")
    assert [view.verdict for view in flag_views([above, doubt])] == ["note", "above"]
