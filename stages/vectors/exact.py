"""The nearest rows of a FAISS index, in an order that does not depend on chance.

Sums of floats depend on where a vector lies in its block, so that FAISS gives two equal vectors similarities that may
differ in the last bit, and cuts a tie at k anywhere. Hence FAISS (or torch) only proposes: the similarity of a
proposed row is computed anew, in float64 and in the same order wherever the row is, and rounded to float32; equal ones
go by row. An exact search proposes more than k rows, until the last of them is so far below the k-th that rounding
cannot have hidden a better one.

To compute every similarity anew takes longer than FAISS takes to find them. Where no more than the order is asked for
(``values=False``), it is done for those alone that lie so close to the next that rounding may have exchanged them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ...data.arrays import Bool, Float32, Int64
from ...data.blocks import blocks
from .faiss_library import faiss

Found = tuple[Float32, Int64]  # similarities (Q, K) and rows (Q, K), best first
Propose = Callable[[Float32, int], Found]  # queries (Q, E) and k to candidates
VectorsOf = Callable[[Int64], Float32]  # rows (M) to vectors (M, E)
TensorsOf = Callable[[Int64], Any]  # the same, as an array or as a tensor on whatever device

SPARE = 16  # rows proposed beyond k
SPARE_OF_ORDER = 4  # where no more than the order is asked for
LANES = 8  # in which FAISS and BLAS add at the least, on every processor of today
BLOCK_PAIRS = 4096  # of query and row at a time
BLOCK_PROPOSED = 1 << 22
BLOCK_QUERIES = 4096  # as many as FAISS multiplies at a time: fewer would slow it
BLOCK_ROWS = 16_384
ROUNDING = 2.0**-24  # of one float32 operation, relative


def nearest(
    propose: Propose, vectors_of: VectorsOf, queries_QE: Float32, k: int, count: int, *, values: bool = True
) -> Found:
    """The exact ``k`` nearest of ``count`` rows.

    Args:
        propose: an exact search, up to rounding and the order of ties.
        vectors_of: the vectors of some rows.
        queries_QE: to compare with unit vectors.
        k: at most ``count``.
        count: rows that may be found.
        values: whether similarities are to be exact to the bit, so that answers of several indexes can be merged; else
            they are the proposer's, which must be FAISS on a processor, and the order alone is exact.
    """
    settle = _settled if values else _ordered
    spare = SPARE if values else SPARE_OF_ORDER
    parts = [
        settle(propose, vectors_of, queries_QE[block], k, min(k + spare, count), count)
        for block in blocks(len(queries_QE), BLOCK_QUERIES)
    ]
    return _joined(parts, k)


def ranked(vectors_of: VectorsOf, queries_QE: Float32, row_QK: Int64, k: int) -> Found:
    """The best ``k`` of proposed rows, by similarities computed anew; -1 stands for no row and comes last."""
    similarity_QK = inner_products(vectors_of, queries_QE, row_QK)
    order_QK = np.lexsort((row_QK, -similarity_QK), axis=1)[:, :k]
    return np.take_along_axis(similarity_QK, order_QK, 1), np.take_along_axis(row_QK, order_QK, 1)


def inner_products(vectors_of: VectorsOf, queries_QE: Float32, row_QK: Int64) -> Float32:
    """Similarities (Q, K) that depend on the two vectors alone; -inf where there is no row."""
    flat, query = row_QK.ravel(), np.repeat(np.arange(len(row_QK)), row_QK.shape[1])
    similarity = np.full(flat.size, -np.inf, np.float32)
    present = np.flatnonzero(flat >= 0)
    for block in blocks(len(present), BLOCK_PAIRS):
        pairs = present[block]
        products = vectors_of(flat[pairs]).astype(np.float64) * queries_QE[query[pairs]]
        similarity[pairs] = products.sum(axis=1)
    return similarity.reshape(row_QK.shape)


def scan(tensors_of: TensorsOf, rows: Int64, queries_QE: Float32, k: int) -> Found:
    """An exact search by torch, block by block, where the vectors are: where FAISS has no GPU, or no exact index."""
    import torch  # a search that FAISS answers needs none

    best = best_row = queries = None
    for block in blocks(len(rows), BLOCK_ROWS):
        vectors = torch.as_tensor(tensors_of(rows[block]))
        if best is None or best_row is None or queries is None:
            queries = torch.from_numpy(np.ascontiguousarray(queries_QE)).to(vectors.device)
            best, best_row = queries[:, :0], torch.empty(len(queries), 0, dtype=torch.int64, device=vectors.device)
        row = torch.from_numpy(rows[block]).to(vectors.device).expand(len(queries), -1)
        both, both_row = torch.cat([best, queries @ vectors.T], 1), torch.cat([best_row, row], 1)
        best, place = both.topk(min(k, both.shape[1]), dim=1)
        best_row = both_row.gather(1, place)
    if best is None or best_row is None:
        return np.empty((len(queries_QE), 0), np.float32), np.empty((len(queries_QE), 0), np.int64)
    return best.cpu().numpy(), best_row.cpu().numpy()


def approximate(propose: Propose, vectors_of: VectorsOf, queries_QE: Float32, k: int, candidates: int) -> Found:
    """The best ``k`` of the candidates that an approximate search finds, by their exact similarities."""
    parts = [
        ranked(vectors_of, queries_QE[block], propose(queries_QE[block], candidates)[1], k)
        for block in blocks(len(queries_QE), BLOCK_QUERIES)
    ]
    return _joined(parts, k)


def flat_vectors(index: Any) -> Float32:
    """The vectors of an exact FAISS index where they lie, not a copy."""
    if not index.ntotal:
        return np.empty((0, index.d), np.float32)
    stored: Float32 = faiss().rev_swig_ptr(index.get_xb(), index.ntotal * index.d)
    return stored.reshape(index.ntotal, index.d)


def is_exact(index: Any) -> bool:
    """Whether FAISS compares every vector, as it was given."""
    return isinstance(index, faiss().IndexFlat)


def core(index: Any) -> Any:
    """The index inside whatever transforms, numbers or refines it."""
    library, index = faiss(), faiss().downcast_index(index)
    match index:
        case library.IndexPreTransform() | library.IndexIDMap():
            return core(index.index)
        case library.IndexRefine():
            return core(index.base_index)
        case _:
            return index


def selects(index: Any) -> bool:
    """Whether FAISS can search such an index among some of its rows."""
    library = faiss()
    kinds = (library.IndexFlat, library.IndexIVF, library.IndexHNSW, library.IndexScalarQuantizer)
    return isinstance(core(index), kinds)


def selection(index: Any, allowed_N: Bool) -> Any:
    """FAISS's parameters for a search among some labels; nprobe and efSearch stay as they are set."""
    return _parameters(index, faiss().IDSelectorBitmap(np.packbits(allowed_N, bitorder="little")))


def _settled(propose: Propose, vectors_of: VectorsOf, queries_QE: Float32, k: int, asked: int, count: int) -> Found:
    """Ask for more, where a row that was not proposed could belong among the ``k`` nearest."""
    proposed_QK, row_QK = propose(queries_QE, asked)
    similarity_QK, best_QK = ranked(vectors_of, queries_QE, row_QK, k)
    if asked == count:
        return similarity_QK, best_QK
    slack_Q = _slack(queries_QE)
    open_Q = np.flatnonzero(proposed_QK[:, k - 1] - proposed_QK[:, -1] <= slack_Q)
    asked = min(4 * asked, count)
    for block in blocks(len(open_Q), max(1, BLOCK_PROPOSED // asked)):
        some = open_Q[block]
        similarity_QK[some], best_QK[some] = _settled(propose, vectors_of, queries_QE[some], k, asked, count)
    return similarity_QK, best_QK


def _ordered(propose: Propose, vectors_of: VectorsOf, queries_QE: Float32, k: int, asked: int, count: int) -> Found:
    """As :func:`_settled`, similarities computed anew only where two are too close for their order to be sure."""
    similarity_QK, row_QK = propose(queries_QE, asked)
    length_Q = np.linalg.norm(queries_QE, axis=1)
    slack_Q1 = (2 * ROUNDING * (queries_QE.shape[1] / LANES + LANES) * length_Q)[:, None]
    close_QK = similarity_QK[:, :-1] - similarity_QK[:, 1:] <= slack_Q1
    if asked < count and (open_Q := close_QK[:, k - 1 :].all(axis=1)).any():  # a tie that reaches beyond what was asked
        some = np.flatnonzero(open_Q)
        whole = _settled(propose, vectors_of, queries_QE[some], k, min(4 * asked, count), count)
    else:
        some, whole = np.empty(0, np.int64), None
    tied_QK = np.pad(close_QK, ((0, 0), (0, 1))) | np.pad(close_QK, ((0, 0), (1, 0)))
    doubted = np.flatnonzero(close_QK.any(axis=1))
    anew_QK = inner_products(vectors_of, queries_QE[doubted], np.where(tied_QK[doubted], row_QK[doubted], -1))
    anew_QK = np.where(tied_QK[doubted], anew_QK, similarity_QK[doubted])
    order_QK = np.lexsort((row_QK[doubted], -anew_QK), axis=1)
    similarity_QK[doubted] = np.take_along_axis(anew_QK, order_QK, 1)
    row_QK[doubted] = np.take_along_axis(row_QK[doubted], order_QK, 1)
    similarity_QK, row_QK = similarity_QK[:, :k], row_QK[:, :k]
    if whole is not None:
        similarity_QK[some], row_QK[some] = whole
    return similarity_QK, row_QK


def _slack(queries_QE: Float32) -> Float32:
    """Twice the largest error of a similarity to a unit vector: a sum of E products, in float32, in any order."""
    return np.asarray(4 * ROUNDING * queries_QE.shape[1] * np.linalg.norm(queries_QE, axis=1), np.float32)


def _joined(parts: list[Found], k: int) -> Found:
    if not parts:
        return np.empty((0, k), np.float32), np.empty((0, k), np.int64)
    return np.concatenate([part for part, _ in parts]), np.concatenate([part for _, part in parts])


def _parameters(index: Any, selector: Any) -> Any:
    library, index = faiss(), faiss().downcast_index(index)
    match index:
        case library.IndexPreTransform():
            return library.SearchParametersPreTransform(index_params=_parameters(index.index, selector))
        case library.IndexIDMap():
            return _parameters(index.index, selector)
        case library.IndexRefine():
            base = _parameters(index.base_index, selector)
            return library.IndexRefineSearchParameters(k_factor=index.k_factor, base_index_params=base)
        case library.IndexIVF():
            return library.SearchParametersIVF(nprobe=index.nprobe, sel=selector)
        case library.IndexHNSW():
            return library.SearchParametersHNSW(efSearch=index.hnsw.efSearch, sel=selector)
        case _:
            return library.SearchParameters(sel=selector)
