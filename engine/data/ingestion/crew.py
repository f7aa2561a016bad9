"""Several series at once: a few threads, each with a client of its own, all behind one bucket of requests."""

import queue
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass
from typing import Final, Protocol

from engine.data.ingestion.one_series import Ingestion, Span, StoppedError
from engine.data.ingestion.outcome import Counts, Outcome
from engine.data.lake.lake import Lake
from engine.data.providers.errors import ProviderCode, ProviderError
from engine.data.providers.finality import GRACE
from engine.data.providers.opening import Access, bucket_of, open_provider
from engine.data.providers.patience import Bucket
from engine.data.providers.port import Provider, Surroundings
from engine.data.series import SeriesKey

WORKERS: Final = 4
"""More of them only wait for one another: the provider's rate is the limit."""

ROUNDS: Final = 6
"""So often a series is begun again from what the lake holds, after a provider did not answer."""

SANDBOX_REQUESTS_PER_SECOND: Final = 200.0

_FIRST_WAIT_SECONDS: Final = 2.0
_NEVER: Final = 2**62
# Who wants to stop waits no longer than this.
_NAP_SECONDS: Final = 1.0
MAY_PASS: Final = frozenset(
    {ProviderCode.PROVIDER_ERROR, ProviderCode.RATE_LIMITED, ProviderCode.INVALID_DATA}
)
"""What a provider may do better when it is asked again later."""

_OF_ONE_SYMBOL: Final = frozenset({ProviderCode.UNKNOWN_SYMBOL, ProviderCode.NOT_OFFERED})


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """One series, and which bars of it are wanted."""

    key: SeriesKey
    span: Span

    @property
    def bars(self) -> int:
        """Intervals from its start to its stop."""
        assert self.key.timeframe is not None
        return max(0, (self.span.stop - self.span.start) // self.key.timeframe.nanoseconds)


class Listener(Protocol):
    """Hears how far the work is; called from several threads."""

    def advanced(self, done: int, total: int, now: str) -> None:
        """Hear how many intervals of all series are done, and which series moved."""
        ...

    def failed(self, key: SeriesKey, reason: str, *, again: bool) -> None:
        """Hear that a series failed, and whether it is tried again."""
        ...


def ingest_all(
    tasks: Sequence[Task],
    *,
    provider: str,
    lake: Lake,
    access: Access,
    run: str,
    listener: Listener,
    workers: int = WORKERS,
    grace: int = GRACE,
    is_sandbox: bool = False,
) -> tuple[Outcome, ...]:
    """Bring series up to date, several at once, and say what came of each, in the order of the tasks.

    A series that fails does not hold up the others.

    Parameters
    ----------
    is_sandbox
        Whether a sandbox is asked in the provider's place, which may be asked as fast as it answers.

    Raises
    ------
    ProviderError
        If the provider refuses us altogether.
    InputError
        If the lake cannot be written or read. What came before is in it.
    KeyboardInterrupt
        After every thread has put into the lake what it had in hand.
    """
    bucket = bucket_for(provider, access.surroundings, is_sandbox=is_sandbox)
    crew = _Crew(tasks, provider, lake, access, run, listener, grace, bucket)
    with ThreadPoolExecutor(max(1, min(workers, len(tasks))), thread_name_prefix="ingest") as pool:
        futures = [pool.submit(crew.work) for _ in range(max(1, min(workers, len(tasks))))]
        try:
            wait(futures)
        except BaseException:
            crew.stopping.set()
            raise
    for future in futures:
        future.result()
    return tuple(crew.outcomes[task.key] for task in tasks)


def bucket_for(provider: str, world: Surroundings, *, is_sandbox: bool) -> Bucket:
    """Return a bucket at a provider's rate; a sandbox in its place may be asked as fast as it answers.

    Raises
    ------
    ProviderError
        UNKNOWN_PROVIDER.
    """
    if is_sandbox:
        return Bucket(SANDBOX_REQUESTS_PER_SECOND, monotonic=world.monotonic, sleep=world.sleep)
    return bucket_of(provider, world)


class _Crew:
    """What the threads of a run share."""

    def __init__(
        self,
        tasks: Sequence[Task],
        provider: str,
        lake: Lake,
        access: Access,
        run: str,
        listener: Listener,
        grace: int,
        bucket: Bucket,
    ) -> None:
        self.stopping = threading.Event()
        self.outcomes: dict[SeriesKey, Outcome] = {}
        self._provider, self._lake, self._access, self._run = provider, lake, access, run
        self._listener, self._grace = listener, grace
        self._bucket = bucket
        self._waiting: queue.SimpleQueue[Task] = queue.SimpleQueue()
        for task in tasks:
            self._waiting.put(task)
        self._lock, self._asking = threading.Lock(), threading.Lock()
        self._told: int | None = None
        self._starts = {task.key: task.span.start for task in tasks}
        self._done = dict.fromkeys(self._starts, 0)
        self._total = sum(task.bars for task in tasks)

    def work(self) -> None:
        """Take one task after the other until there are no more."""
        try:
            provider = open_provider(self._provider, self._access, self._bucket)
            try:
                while not self.stopping.is_set():
                    try:
                        task = self._waiting.get_nowait()
                    except queue.Empty:
                        return
                    self.outcomes[task.key] = self._outcome(task, provider)
            finally:
                provider.close()
        except StoppedError:
            return
        except BaseException:
            # The others would fail in the same way, one after the other.
            self.stopping.set()
            raise

    def _outcome(self, task: Task, provider: Provider) -> Outcome:
        counts = Counts()
        for number in range(ROUNDS):
            ingestion = Ingestion(
                lake=self._lake,
                provider=provider,
                key=task.key,
                run=self._run,
                now=self._access.surroundings.now,
                advanced=self._advanced,
                stopped=self.stopping.is_set,
                grace=self._grace,
                first_reply=counts.replies + 1,
            )
            try:
                ingestion.told = self._time(provider)
                ingestion.ingest(task.span)
                return Outcome(key=task.key, counts=counts.plus(ingestion.counts))
            except ProviderError as failed:
                again = failed.code in MAY_PASS and number < ROUNDS - 1
                if not again and failed.code not in MAY_PASS | _OF_ONE_SYMBOL:
                    raise
                self._listener.failed(task.key, str(failed), again=again)
                counts = counts.plus(ingestion.counts)
                if not again:
                    return Outcome(key=task.key, counts=counts, failed=str(failed))
                self._rest(_FIRST_WAIT_SECONDS * 2.0**number)
        raise AssertionError("unreachable: the last round returns or raises")

    def _time(self, provider: Provider) -> int:
        """Return the time at the provider when the run began: all series end at the same moment."""
        with self._asking:
            if self._told is None:
                at_provider = provider.fetch_time()
                self._told = _NEVER if at_provider is None else at_provider
            return self._told

    def _rest(self, seconds: float) -> None:
        while seconds > 0:
            if self.stopping.is_set():
                raise StoppedError
            self._access.surroundings.sleep(min(seconds, _NAP_SECONDS))
            seconds -= _NAP_SECONDS

    def _advanced(self, key: SeriesKey, until: int) -> None:
        assert key.timeframe is not None
        with self._lock:
            bars = max(0, until - self._starts[key]) // key.timeframe.nanoseconds
            self._done[key] = max(self._done[key], bars)
            done = min(self._total, sum(self._done.values()))
        self._listener.advanced(done, self._total, f"{key.instrument} {key.timeframe.value}")
