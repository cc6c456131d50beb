from __future__ import annotations

import asyncio
from typing import Any

import pytest

from headgate.live import pages as pages_module
from headgate.live.frames import Shared
from headgate.live.meters import Meters
from headgate.live.pages import PAGE_EVENTS, Page, Pages
from headgate.protocol.pushes import Deleted
from tests.live.parts import MemoryLog, edit, message, turns, until


@pytest.fixture
async def pages(log: MemoryLog) -> Pages:
    return Pages(log, Meters())


class Reader:
    """Somebody who is behind, and reads on page by page."""

    def __init__(self, pages: Pages, position: int, to: int) -> None:
        self.seqs: list[int] = []
        self.position = position
        self.to = to
        self._pages = pages
        self._go_on()

    def _go_on(self) -> None:
        while self.position < self.to:
            page = self._pages.find(1, self.position)
            run = None if page is None else page.run(self.position)
            if run is None:
                self._pages.read(1, self.position, self.to, self._came)
                return
            self.seqs += [shared.push.seq for shared in run.shared]
            self.position = run.last

    def _came(self, page: Page) -> None:
        self._go_on()


def read(pages: Pages, position: int, to: int, room_id: int = 1) -> list[Page]:
    """Return where the page will be."""
    came: list[Page] = []
    pages.read(room_id, position, to, came.append)
    return came


def texts(page: Page) -> list[str]:
    return [shared.push.text for shared in page.shared]


async def test_a_thousand_at_one_place_cost_one_read(
    log: MemoryLog, pages: Pages
) -> None:
    log.write(1, 100)
    readers = [Reader(pages, 7, 100) for _ in range(1000)]
    await until(lambda: all(reader.position == 100 for reader in readers))

    assert log.reads == [(1, 0, 100)]
    assert all(reader.seqs == list(range(8, 101)) for reader in readers)
    first = pages.find(1, 7)
    assert first is not None
    assert first.run(7) is first.run(7)  # and it is encoded and joined once


async def test_a_thousand_at_different_places_cost_one_read_per_page(
    log: MemoryLog, pages: Pages
) -> None:
    end = 3 * PAGE_EVENTS
    log.write(1, end)
    readers = [Reader(pages, number % end, end) for number in range(0, 10_000, 10)]
    await until(lambda: all(reader.position == end for reader in readers))

    assert sorted(log.reads) == [(1, page * PAGE_EVENTS, end) for page in range(3)]
    for reader in readers:
        assert reader.seqs == list(range(end - len(reader.seqs) + 1, end + 1))


async def test_those_who_come_while_a_page_is_read_wait_for_it(
    log: MemoryLog, pages: Pages
) -> None:
    log.write(1, 10)
    log.held = True
    first = read(pages, 2, 10)
    await turns()
    second = read(pages, 4, 10)
    await turns()
    assert (first, second) == ([], [])
    log.release()
    await turns()

    assert first == second
    assert len(first) == len(log.reads) == 1


async def test_a_page_that_was_short_is_read_on_from_its_end(
    log: MemoryLog, pages: Pages
) -> None:
    log.write(1, 10)
    read(pages, 0, 10)
    await turns()
    log.write(1, 5)
    assert pages.find(1, 10) is None
    came = read(pages, 10, 15)
    await turns()

    assert [shared.push.seq for shared in came[0].shared] == [11, 12, 13, 14, 15]
    assert pages.find(1, 10) is came[0]
    assert log.reads == [(1, 0, 10), (1, 10, 15)]


async def test_a_page_for_less_is_not_the_end_for_who_wants_more(
    log: MemoryLog, pages: Pages
) -> None:
    """It was asked for before the log grew: it says up to where."""
    log.write(1, 5)
    log.held = log.late = True
    first = read(pages, 0, 5)
    await turns()
    log.write(1, 5)
    second = read(pages, 5, 10)
    log.release()
    await turns()

    assert first == second
    assert (first[0].last, first[0].to) == (5, 5)
    reader = Reader(pages, 5, 10)
    await turns()
    assert reader.seqs == [6, 7, 8, 9, 10]


async def test_the_end_of_a_log_is_an_empty_page_and_not_kept(
    log: MemoryLog, pages: Pages
) -> None:
    came = read(pages, 0, 5)
    await turns()
    assert [page.shared for page in came] == [[]]
    assert (came[0].last, came[0].to) == (0, 5)
    assert pages._kept == {}  # which is bounded by bytes, and it has none

    log.write(1, 5)
    assert Reader(pages, 0, 5).position == 0
    await turns()
    assert pages.find(1, 0) is not None


async def test_large_pages_end_early_and_are_forgotten_from_the_oldest(
    log: MemoryLog, pages: Pages, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pages_module, "PAGE_MAX_BYTES", 10_000)
    monkeypatch.setattr(pages_module, "KEPT_MAX_BYTES", 150_000)
    log.write(1, 200, "x" * 1000)
    log.write(2, 5)
    other = read(pages, 0, 5, room_id=2)
    await turns()
    reader = Reader(pages, 0, 200)
    while reader.position < 200:
        await turns(1)
        size = sum(page.memory_bytes for page in pages._kept.values())
        assert size == pages._memory_bytes <= 150_000
        assert pages.find(2, 0) is other[0]  # it is wanted now and then

    assert reader.seqs == list(range(1, 201))


async def test_one_page_larger_than_all_may_be_is_kept_all_the_same(
    log: MemoryLog, pages: Pages, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pages_module, "KEPT_MAX_BYTES", 10)
    log.write(1, 2, "x" * 100)
    reader = Reader(pages, 0, 2)
    await turns()

    assert reader.seqs == [1, 2]


async def test_a_log_that_is_away_is_asked_until_it_is_back(
    log: MemoryLog, pages: Pages, caplog: pytest.LogCaptureFixture
) -> None:
    log.write(1, 3)
    log.away = True
    came = read(pages, 0, 3)
    await asyncio.sleep(10.5)
    assert len(log.reads) == 11  # once a second
    assert not came
    log.away = False
    await asyncio.sleep(1)

    assert came[0].last == 3
    assert "page_waits room=1" in caplog.text


async def test_a_failure_is_logged_and_the_page_read_again(
    log: MemoryLog,
    pages: Pages,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Giving up would leave a hole that nobody is told of."""

    async def broken(*_: object, **__: object) -> list[object]:
        raise KeyError("a bug")

    log.write(1, 2)
    with monkeypatch.context() as patch:
        patch.setattr(log, "events", broken)
        came = read(pages, 0, 2)
        await turns()
    await until(lambda: bool(came))

    assert came[0].last == 2
    assert "page_failed room=1" in caplog.text


async def test_one_who_waits_and_fails_is_not_the_others(
    log: MemoryLog, pages: Pages, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(page: Page) -> None:
        raise KeyError("a bug")

    log.write(1, 2)
    pages.read(1, 0, 2, broken)
    came = read(pages, 0, 2)
    await turns()

    assert came[0].last == 2
    assert "page_not_taken room=1" in caplog.text


async def test_a_change_is_followed_in_kept_pages(log: MemoryLog, pages: Pages) -> None:
    log.write(1, 3, "old")
    log.write(2, 3, "old")
    ours, others = read(pages, 0, 3), read(pages, 0, 3, room_id=2)
    await turns()
    assert ours[0].run(0) is not None
    for change in (*log.edit(1, 2, "new"), *log.delete(1, 3)):
        pages.revise(1, change)

    assert texts(ours[0]) == ["old", "new", ""]
    assert texts(others[0]) == ["old", "old", "old"]
    run = ours[0].run(0)  # which was asked for before
    assert run is not None
    assert [shared.push.text for shared in run.shared] == ["old", "new", ""]


async def test_a_deletion_is_followed_in_edits_on_other_pages(
    log: MemoryLog, pages: Pages
) -> None:
    log.write(1, PAGE_EVENTS, "old")
    log.edit(1, 3, "secret")
    log.edit(1, 4, "other")
    end = log.end(1)
    first, second = read(pages, 0, end), read(pages, PAGE_EVENTS, end)
    await turns()
    assert texts(second[0]) == ["secret", "other"]
    (change,) = log.delete(1, 3)
    assert isinstance(change, Deleted)
    pages.revise(1, change)

    assert texts(first[0])[2:4] == ["", "other"]
    assert texts(second[0]) == ["", "other"]


async def test_a_change_costs_little_however_much_is_kept(pages: Pages) -> None:
    """A bot that edits its answer as it grows does so many times a second."""
    looked = 0

    class Counted(list[Shared]):
        def __getitem__(self, place: Any) -> Any:
            nonlocal looked
            looked += 1
            return super().__getitem__(place)

        def __iter__(self) -> Any:
            nonlocal looked
            looked += len(self)
            return super().__iter__()

    for number in range(50):
        after = number * PAGE_EVENTS
        seqs = range(after + 1, after + 1 + PAGE_EVENTS)
        page = Page(after, after + PAGE_EVENTS, [message(1, seq) for seq in seqs])
        page.shared = Counted(page.shared)
        pages._keep((1, after), page)
    pages.revise(1, edit(1, 99_999, 600, "new"))

    assert 0 < looked < 50


@pytest.mark.parametrize("late", [False, True])
async def test_a_change_is_followed_in_a_page_that_is_being_read(
    log: MemoryLog,
    pages: Pages,
    late: bool,  # noqa: FBT001
) -> None:
    """Whether the log was looked at before it or after it."""
    log.write(1, 3, "old")
    log.held, log.late = True, late
    came = read(pages, 0, 3)
    await turns()
    for change in (*log.edit(1, 2, "new"), *log.delete(1, 3)):
        pages.revise(1, change)
    pages.revise(2, edit(2, 4, 1, "of another room"))
    log.release()
    await turns()

    assert texts(came[0]) == ["old", "new", ""]


async def test_a_room_that_is_forgotten_leaves_nothing(
    log: MemoryLog, pages: Pages
) -> None:
    before = asyncio.all_tasks()
    log.write(1, 600)
    log.write(2, 3)
    read(pages, 0, 600)
    other = read(pages, 0, 3, room_id=2)
    await turns()
    log.held = True
    came = read(pages, 300, 600)
    await turns()
    pages.forget(1)
    await turns()

    assert asyncio.all_tasks() == before
    assert pages.find(1, 0) is None
    assert list(pages._kept.values()) == other
    assert pages._memory_bytes == other[0].memory_bytes
    log.release()
    await turns()
    assert came == []


@pytest.mark.parametrize("began", [0, 1, 3])
async def test_who_comes_after_a_room_was_forgotten_waits_for_a_read_of_their_own(
    log: MemoryLog, pages: Pages, began: int
) -> None:
    """Also where the room was forgotten before its read began, or while it ends."""
    log.write(1, 3)
    log.held = True
    before = read(pages, 0, 3)
    await turns(began)
    pages.forget(1)
    after = read(pages, 0, 3)
    await turns(3)
    log.release()
    await turns()

    assert before == []
    assert after[0].last == 3


def test_a_page_gives_runs_of_what_it_has() -> None:
    page = Page(4, 9, [message(1, seq) for seq in range(5, 8)])

    assert (page.after, page.last, page.to) == (4, 7, 9)
    assert [page.run(position) for position in (3, 7, 8)] == [None] * 3
    run = page.run(5)
    assert run is not None
    assert (run.after, run.last) == (5, 7)


async def test_pages_that_nobody_asks_for_are_forgotten(
    log: MemoryLog, pages: Pages
) -> None:
    log.write(1, 600)
    for place in (0, 256):
        read(pages, place, 600)
    await turns()
    await asyncio.sleep(pages_module.KEPT_SECONDS - 1)
    assert pages.find(1, 256) is not None
    await asyncio.sleep(2)
    pages.sweep()

    assert (pages.find(1, 0), pages.find(1, 256) is None) == (None, False)
    await asyncio.sleep(pages_module.KEPT_SECONDS + 1)
    pages.sweep()
    assert pages._memory_bytes == 0
