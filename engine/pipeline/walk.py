"""The one loop over bars that evaluates signals and walks accounts, block by block."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from engine.compiled import kernel
from engine.core.account import Accounts
from engine.core.market import Market
from engine.core.records import Recorder
from engine.core.settings import Costs, Limits, Rules
from engine.core.simulate import simulate
from engine.core.step import Plans, advance
from engine.domain.panel import FloatArray, IntArray, Panel
from engine.features.evaluate import bind
from engine.features.expression import Expression
from engine.features.program import Bound, Program, run_nodes


@kernel
def walk(
    first: int,
    last: int,
    start: int,
    stop: int,
    block: int,
    program: Program,
    data: FloatArray,
    state: FloatArray,
    flat: FloatArray,
    scratch: FloatArray,
    root_of: IntArray,
    market: Market,
    plans: Plans,
    costs: Costs,
    rules: Rules,
    limits: Limits,
    accounts: Accounts,
    recorder: Recorder,
) -> None:
    """Evaluate signals from row 0 on and walk accounts `first` to `last` over rows `start` to `stop`.

    Parameters
    ----------
    block
        Rows evaluated at a time. No result depends on it.
    flat, scratch
        The same memory as shapes (slots, block * N) and (slots, block, N).
    root_of
        Shape (last - first,): the root that each account follows; accounts of a root stand together.
    """
    row = 0
    while row < stop:
        rows = min(block, stop - row)
        run_nodes(program, program.shared_start, program.shared_stop, data, row, rows, state, flat)
        evaluated = -1
        for account in range(first, last):
            root = root_of[account - first]
            if root != evaluated:
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
            begin = max(row, start)
            if begin < row + rows:
                advance(
                    account,
                    begin,
                    row + rows,
                    begin,
                    scratch[program.root_slot[root], begin - row :],
                    True,
                    market,
                    plans,
                    costs,
                    rules,
                    limits,
                    accounts,
                    recorder,
                )
        row += rows


@dataclass(frozen=True, kw_only=True, eq=False)
class Chunk:
    """Accounts that one thread walks: those without a signal, or those of some roots."""

    first: int
    last: int
    bound: Bound | None
    root_of: IntArray


def deal(panel: Panel, roots: Sequence[Expression | None], threads: int) -> list[Chunk]:
    """Deal accounts, ordered by their root and those without one first, to threads."""
    without = sum(root is None for root in roots)
    bounds = []
    for low, high in ((0, without), (without, len(roots))):
        edges = np.linspace(low, high, max(1, min(threads, high - low)) + 1).astype(int)
        bounds += [(int(a), int(b)) for a, b in pairwise(edges) if a < b]
    chunks = []
    for first, last in bounds:
        places: dict[str, int] = {}
        distinct: list[Expression] = []
        root_of = np.zeros(last - first, dtype=np.int64)
        for account in range(first, last):
            root = roots[account]
            if root is not None:
                if root.hash not in places:
                    places[root.hash] = len(distinct)
                    distinct.append(root)
                root_of[account - first] = places[root.hash]
        bound = bind(distinct, panel) if distinct else None
        chunks.append(Chunk(first=first, last=last, bound=bound, root_of=root_of))
    return chunks


def walk_chunks(
    chunks: Sequence[Chunk],
    start: int,
    stop: int,
    market: Market,
    plans: Plans,
    costs: Costs,
    rules: Rules,
    limits: Limits,
    accounts: Accounts,
    recorder: Recorder,
    threads: int,
) -> None:
    """Walk all accounts over rows `start` to `stop`, a thread a chunk. Accounts and recorder are written."""
    instruments = market.mark.shape[1]

    def walk_chunk(chunk: Chunk) -> None:
        rest = (market, plans, costs, rules, limits, accounts, recorder)
        if chunk.bound is None:
            ones = np.ones((1, 1, instruments))
            none = np.zeros(chunk.last, dtype=np.int64)
            simulate(chunk.first, chunk.last, start, stop, ones, False, none, *rest)
            return
        compiled = chunk.bound.compiled
        block = compiled.block_rows
        flat = compiled.new_scratch(block)
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
            flat.reshape(compiled.slots, block, instruments),
            chunk.root_of,
            *rest,
        )

    if threads == 1 or len(chunks) == 1:
        for chunk in chunks:
            walk_chunk(chunk)
        return
    with ThreadPoolExecutor(max_workers=threads) as pool:
        for done in [pool.submit(walk_chunk, chunk) for chunk in chunks]:
            done.result()
