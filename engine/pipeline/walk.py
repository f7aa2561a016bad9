"""The one loop over bars that evaluates signals and walks accounts, block by block."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from engine.compiled import inlined_kernel, kernel
from engine.core.account import Accounts
from engine.core.market import Market
from engine.core.records import Recorder
from engine.core.settings import Terms
from engine.core.step import advance
from engine.core.targets import Plans
from engine.domain.panel import FloatArray, IntArray, Panel
from engine.features.evaluate import bind, evaluate
from engine.features.expression import Expression
from engine.features.program import Bound, Program, run_nodes

_QUIET_VALUES = 131_072
"""Marks of a block without signals: they stay in the processor's cache while accounts walk over them."""


@inlined_kernel
def are_of_one(signals: FloatArray, market: Market, accounts: Accounts) -> bool:
    """Say whether there is one instrument.

    Where a compiler is told so, it leaves out what many would need: of the same code it makes a second
    version, a sixth faster.
    """
    marks, told = market.mark.shape[1], signals.shape[1]
    held, lots = accounts.holdings.shape[2], accounts.lots.shape[2]
    one: bool = (marks == 1) & (told == 1) & (held == 1) & (lots == 1)
    return one


@kernel
def walk(
    first: int,
    last: int,
    start: IntArray,
    stop: IntArray,
    block: int,
    program: Program,
    data: FloatArray,
    state: FloatArray,
    flat: FloatArray,
    scratch: FloatArray,
    root_of: IntArray,
    ones: FloatArray,
    styles: FloatArray,
    market: Market,
    plans: Plans,
    terms: Terms,
    accounts: Accounts,
    recorder: Recorder,
) -> None:
    """Evaluate signals from row 0 on and walk accounts `first` to `last`.

    Parameters
    ----------
    start, stop
        Shape (P,): each account lives on rows `start` to `stop`, not including it.
    block
        Rows evaluated at a time. No result depends on it.
    flat, scratch
        The same memory as shapes (slots, block * N) and (slots, block, N).
    root_of
        Shape (last - first,): the root that each account follows, -1 for a signal of 1 on every bar; accounts
        of a root stand together.
    ones
        Shape (1, N), for accounts without a root.
    styles
        As `engine.core.step.advance` takes them, the same for accounts `first` to `last`.
    """
    end = 0
    for account in range(first, last):
        end = max(end, stop[account])
    for row in range(0, end, block):
        rows = min(block, end - row)
        run_nodes(program, program.shared_start, program.shared_stop, data, row, rows, state, flat)
        evaluated = -1
        for account in range(first, last):
            root = root_of[account - first]
            if root >= 0 and root != evaluated:
                run_nodes(
                    program,
                    program.private_start[root],
                    program.private_stop[root],
                    data,
                    row,
                    rows,
                    state,
                    flat,
                )
                evaluated = root
            begin = max(row, start[account])
            until = min(row + rows, stop[account])
            signals = ones
            if root >= 0:
                signals = scratch[program.root_slot[root], max(0, begin - row) :]
            if begin < until:
                if are_of_one(signals, market, accounts):
                    advance(
                        account, begin, until, begin, signals, root >= 0, styles, market, plans, terms,
                        accounts, recorder,
                    )  # fmt: skip
                else:
                    advance(
                        account, begin, until, begin, signals, root >= 0, styles, market, plans, terms,
                        accounts, recorder,
                    )  # fmt: skip


@dataclass(frozen=True, kw_only=True, eq=False)
class Chunk:
    """Accounts that one thread walks."""

    first: int
    last: int
    bound: Bound
    root_of: IntArray
    styles: FloatArray


def deal(
    panel: Panel,
    roots: Sequence[Expression | None],
    order_roots: Sequence[tuple[Expression, ...]],
    threads: int,
) -> list[Chunk]:
    """Deal accounts, ordered by their orders and then their root, to threads.

    Accounts whose strategies shape their orders alike stand together: their styles are computed once, for the
    whole panel.
    """
    plain = np.zeros((0, 1, len(panel.instruments)))
    even = {int(edge) for edge in np.linspace(0, len(roots), min(threads, len(roots)) + 1)}
    changes = {place for place in range(1, len(roots)) if order_roots[place] != order_roots[place - 1]}
    chunks = []
    for first, last in pairwise(sorted(even | changes)):
        places: dict[Expression | None, int] = {None: -1}
        root_of = [places.setdefault(root, len(places) - 1) for root in roots[first:last]]
        distinct = [root for root in places if root is not None]
        chunks.append(
            Chunk(
                first=first,
                last=last,
                bound=bind(distinct, panel),
                root_of=np.array(root_of, dtype=np.int64),
                styles=evaluate(order_roots[first], panel) if order_roots[first] else plain,
            )
        )
    return chunks


def walk_chunks(
    chunks: Sequence[Chunk],
    start: IntArray,
    stop: IntArray,
    market: Market,
    plans: Plans,
    terms: Terms,
    accounts: Accounts,
    recorder: Recorder,
    threads: int,
) -> None:
    """Walk all accounts over their rows, a thread a chunk. Accounts and recorder are written."""
    instruments = market.mark.shape[1]

    def walk_chunk(chunk: Chunk) -> None:
        compiled = chunk.bound.compiled
        block = compiled.block_rows
        evaluated = block
        if not chunk.bound.has_roots:
            # Nothing is evaluated, and an account is taken up again less often.
            block, evaluated = max(1, _QUIET_VALUES // instruments), 1
        flat = compiled.new_scratch(evaluated)
        walk(
            chunk.first,
            chunk.last,
            start,
            stop,
            block,
            compiled.program,
            chunk.bound.data,
            compiled.new_state(),
            flat,
            flat.reshape(compiled.slots, evaluated, instruments),
            chunk.root_of,
            np.ones((1, instruments)),
            chunk.styles,
            market,
            plans,
            terms,
            accounts,
            recorder,
        )

    if threads == 1 or len(chunks) == 1:
        for chunk in chunks:
            walk_chunk(chunk)
        return
    with ThreadPoolExecutor(max_workers=threads) as pool:
        for done in [pool.submit(walk_chunk, chunk) for chunk in chunks]:
            done.result()
