"""The parts of benchmark and soak that decide what is right, what grows and what is shown."""

import random
from xml.etree import ElementTree

import pytest
import trio

from benchmarks.calls import sums
from benchmarks.contestants import Contestant
from benchmarks.load import Exchange, Receiver
from benchmarks.report import Results
from benchmarks.scenarios import scenarios
from benchmarks.soak.judge import Judge
from benchmarks.soak.plot import draw, scale
from benchmarks.soak.trend import Sample, slope, trends

HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n"
STREAM = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nab\r\nc\r\n0\r\n\r\n"


def sample(at_s, life=1, rss=40.0, store=5.0):
    return Sample(at_s, life, rss, 50, 4, store, 900.0, 2.0, 20.0, 0.5)


@pytest.mark.parametrize("answer", [HEAD + b"abc", STREAM])
def test_an_answer_is_complete_at_its_last_byte_and_not_before(answer):
    receiver = Receiver()
    complete = [receiver.receive(answer[n : n + 1]) for n in range(len(answer))]
    assert complete == [False] * (len(answer) - 1) + [True]


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 500 Oh\r\n\r\n id:1 x x",
        b"HTTP/1.1 200 OK\r\n\r\n id:2 x x",
        b"HTTP/1.1 200 OK\r\n\r\n id:1 x",
        b"HTTP/1.1 200 OK\r\n\r\n id:1 x x x",
    ],
)
def test_an_answer_with_another_status_id_or_count_is_wrong(answer):
    exchange = Exchange(b"", (b"id:1",), counted=b"x", count=2)
    assert exchange.verify(b"HTTP/1.1 200 OK\r\n\r\n id:1 x x")
    assert not exchange.verify(answer)


def test_requests_to_the_floor_that_counts_bytes_have_one_length():
    floor = Contestant("Trio floor", [], port=12345, token="t")
    lengths = {len(exchange.request) for exchange in sums(floor, None)}
    others = {len(e.request) for e in sums(Contestant("mcpd", [], port=12345, token="t"), None)}
    assert len(lengths) == 1
    assert lengths < others


def test_the_table_shows_medians_and_their_ratio_to_the_scenarios_reference():
    plain = next(s for s in scenarios() if s.name == "plain")
    results = Results()
    for rate in (100.0, 300.0, 200.0):
        results.add(plain, "Trio floor", {"per_second": rate, "failed": 0})
        results.add(plain, "mcpd", {"per_second": rate / 2, "failed": 1})
    text = results.table([plain])
    assert "| 200 (1.00) | 100 (0.50) |" in text
    assert "Failed requests in all runs: 3." in text


def test_scenarios_have_names_of_their_own_and_a_reference_that_is_measured():
    found = scenarios()
    assert len({scenario.name for scenario in found}) == len(found)
    assert all(scenario.reference in scenario.peers for scenario in found)


def test_a_slope_tells_growth_from_noise_and_from_too_little():
    noise = random.Random(1)
    hour = [float(at) for at in range(0, 3600, 10)]
    grows = slope("m", [[(at, 40 + at / 360 + noise.gauss(0, 0.5)) for at in hour]])
    steady = slope("m", [[(at, 40 + noise.gauss(0, 0.5)) for at in hour]])
    short = slope("m", [[(at, 40 + noise.gauss(0, 5)) for at in hour[:8]]])
    assert grows.verdict == "GROWS"
    assert grows.per_hour == pytest.approx(10, abs=0.5)
    assert steady.verdict == "steady"
    assert short.verdict.startswith("cannot be told")


def test_a_restart_that_frees_memory_does_not_hide_that_it_grows_in_each_life():
    lives = [sample(life * 600 + at, life, rss=40 + at / 60) for life in range(6)
             for at in range(0, 600, 10)]  # fmt: skip
    memory = trends(lives)[0]
    assert memory.verdict == "GROWS"
    assert memory.per_hour == pytest.approx(60, abs=1)


def test_growth_while_kept_streams_fill_is_no_verdict():
    found = trends([sample(float(at), rss=40 + at / 60, store=at / 60) for at in range(0, 350, 10)])
    assert all(isinstance(line, str) for line in found)


def test_the_plot_is_xml_with_a_line_for_each_life_and_each_restart_within_it():
    samples = [sample(float(at), at // 60) for at in range(0, 180, 10)]
    root = ElementTree.fromstring(draw(samples, [(60, "SIGTERM"), (185, "SIGKILL")], "a < b"))
    space = "{http://www.w3.org/2000/svg}"
    assert len(root.findall(f"{space}polyline")) == 3 * 8  # eight lines in six panels
    vertical = [x for x in root.findall(f"{space}line") if x.get("x1") == x.get("x2")]
    assert len(vertical) == 2 * 6
    assert all(float(line.get("x1")) <= 810 for line in vertical)


@pytest.mark.parametrize("highest", [0.03, 0.9, 7, 999, 1000, 12_345])
def test_a_scale_reaches_the_highest_value_in_few_steps(highest):
    ceiling, step = scale(highest)
    assert highest <= ceiling < highest * 2
    assert 1 <= ceiling / step <= 5


async def test_only_what_began_before_the_end_of_an_interruption_is_excused(autojump_clock):
    judge = Judge()
    before = trio.current_time()
    await trio.sleep(1)
    assert not judge.excuses(before)
    judge.interrupted()
    assert judge.excuses(before)
    judge.back()
    await trio.sleep(60)
    assert judge.excuses(before)
    assert not judge.excuses(trio.current_time())
