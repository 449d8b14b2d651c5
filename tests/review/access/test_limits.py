from marrowscope.review.access.limits import LoginLimiter


def fail(limiter, name="anna", address="10.0.0.1"):
    return limiter.attempt(name, address)


def test_the_waits_of_a_name_double_up_to_five_minutes(time):
    limiter = LoginLimiter(lambda: time.stopwatch)
    assert [fail(limiter) for _ in range(5)] == [0.0] * 5
    waits = []
    for number in range(12):
        waits.append(fail(limiter, address=f"10.0.0.{number}"))
        time.pass_by(waits[-1])
        assert fail(limiter, address=f"10.0.0.{number}") == 0.0
    assert waits == [2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 300.0, 300.0, 300.0, 300.0]


def test_asking_while_waiting_makes_it_no_longer(time):
    limiter = LoginLimiter(lambda: time.stopwatch)
    for _ in range(5):
        fail(limiter)
    assert [fail(limiter) for _ in range(50)] == [2.0] * 50
    time.pass_by(1)
    assert fail(limiter) == 1.0


def test_an_address_waits_whatever_names_it_tries(time):
    limiter = LoginLimiter(lambda: time.stopwatch)
    assert [fail(limiter, name=f"name{number}") for number in range(20)] == [0.0] * 20
    assert fail(limiter, name="one more") == 2.0
    assert fail(limiter, name="one more", address="10.0.0.2") == 0.0


def test_ipv6_counts_by_network(time):
    limiter = LoginLimiter(lambda: time.stopwatch)
    for number in range(20):
        fail(limiter, name=f"n{number}", address=f"2001:db8::{number:x}")
    assert fail(limiter, name="x", address="2001:db8::ffff") > 0
    assert fail(limiter, name="x", address="2001:db8:0:1::1") == 0
    assert fail(limiter, name="x", address="::ffff:10.0.0.9") == 0


def test_the_right_password_forgets_the_name_but_not_the_address(time):
    limiter = LoginLimiter(lambda: time.stopwatch)
    for _ in range(4):
        assert fail(limiter) == 0.0
        limiter.succeeded("anna", "10.0.0.1")
    for number in range(20):
        assert fail(limiter, name=f"n{number}") == 0.0
        if number in (4, 9, 14):
            assert fail(limiter, name="own") == 0.0
            limiter.succeeded("own", "10.0.0.1")
    assert fail(limiter, name="own") > 0


def test_an_hour_later_all_is_forgotten(time):
    limiter = LoginLimiter(lambda: time.stopwatch)
    for _ in range(5):
        fail(limiter)
    time.pass_by(3700)
    assert [fail(limiter) for _ in range(5)] == [0.0] * 5


def test_memory_is_bounded_and_keeps_no_names(time):
    limiter = LoginLimiter(lambda: time.stopwatch, remembered=100)
    for number in range(5000):
        fail(limiter, name="secret" * 1000 + str(number), address=f"10.{number // 250}.{number % 250}.1")
    assert len(limiter) == 200
    assert "secret" not in repr(vars(limiter._names))
