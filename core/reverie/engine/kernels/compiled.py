"""The kernels in C, for the CPU; build.py makes the library, kernels.c says how they work."""

from __future__ import annotations

import ctypes
import math
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

if TYPE_CHECKING:
    from collections.abc import Sequence

    from reverie.engine.kernels.protocol import Mask, Padding, Window, Winners

_LAST = torch.channels_last
_HALF = {torch.float32: 0, torch.bfloat16: 1}
_SLACK = 8
"""Bytes at the end of a mask, which is read in words of 8 bytes."""
_BLOCK = 4096
"""Values of a row that a pool does at a time: what it keeps then fits the nearest cache."""
_SERIAL = 1 << 14
"""Maps of fewer values are done by one thread: waking the others takes longer."""

_Size = ctypes.c_ssize_t
_Sizes = _Size * 2
_Address = ctypes.c_void_p


class _Team(ctypes.Structure):
    _fields_ = (
        ("parallel", _Address),
        ("thread", _Address),
        ("count", _Address),
        ("threads", _Size),
    )


class _Pool(ctypes.Structure):
    _fields_ = (
        *((name, _Address) for name in ("x", "y", "winners", "add", "times", "scratch")),
        *((name, _Address) for name in ("row_share", "column_share")),
        *((name, _Size) for name in ("pictures", "channels", "height", "width", "high", "wide")),
        *((name, _Sizes) for name in ("kernel", "stride", "padding")),
        *((name, _Size) for name in ("scratch_bytes", "block")),
        ("quiet", ctypes.c_float),
        *((name, ctypes.c_int) for name in ("closed", "half", "squares", "half_times")),
    )


class _End(ctypes.Structure):
    _fields_ = (
        *((name, _Address) for name in ("picture", "picture_gradient", "map")),
        ("mean", ctypes.c_float * 3),
        *((name, _Size) for name in ("pictures", "height", "width", "high", "wide")),
        *((name, _Size) for name in ("down", "right", "top", "left")),
        *((name, ctypes.c_int) for name in ("unshuffle", "half")),
        ("scratch", _Address),
    )


class CompiledKernels:
    """See `Kernels`. A mask has a bit for each value, and whole bytes for each pixel.

    Args:
        path: the library.
        variant: which level of the processor: v4, v3 or base; by default the best there is.
    Raises:
        OSError: the library is not one for this machine.
        AttributeError: it lacks a kernel.
    """

    def __init__(self, path: Path, variant: str = "") -> None:
        library = ctypes.CDLL(str(path))
        variant = variant or variants(library)[0]
        self.path = path
        self.variant = variant
        self.runtime = _openmp()
        self._entries = self.runtime[1] if self.runtime else (None, None, None)
        address, number, size = _Address, ctypes.c_int, _Size
        maps = (number, address, address, size, size)
        parts = (number, address, address, address, address, size, size, size)
        for name, kinds in {
            "positive": (*maps, ctypes.c_float),
            "masked": maps,
            "relu_positive": (*maps, ctypes.c_float),
            "concat": parts,
            "split": parts,
            "max_pool": (address,),
            "max_pool_backward": (address,),
            "avg_pool": (address,),
            "avg_pool_backward": (address,),
            "silu": (number, address, address, address, size),
            "silu_backward": (number, number, address, address, address, size),
            "ingest": (address,),
            "egest": (address,),
        }.items():
            entry = getattr(library, f"{name}_{variant}")
            entry.argtypes = (address, *kinds)
            entry.restype = None
            setattr(self, f"_c_{name}", entry)

    def __str__(self) -> str:
        threads = Path(self.runtime[0]).name if self.runtime else "none, one thread only"
        return f"{self.path}, variant {self.variant}, threads of {threads}"

    # Set by name above.
    _c_positive: Any
    _c_masked: Any
    _c_relu_positive: Any
    _c_concat: Any
    _c_split: Any
    _c_max_pool: Any
    _c_max_pool_backward: Any
    _c_avg_pool: Any
    _c_avg_pool_backward: Any
    _c_silu: Any
    _c_silu_backward: Any
    _c_ingest: Any
    _c_egest: Any

    def _team(self, values: int) -> Any:
        threads = torch.get_num_threads() if self._entries[0] and values >= _SERIAL else 1
        return ctypes.byref(_Team(*self._entries, threads))

    def positive(self, y: Tensor, limit: float = math.inf) -> Mask:
        """Set the bits of what is open."""
        y = _dense(y)
        mask = _new_mask(y)
        self._c_positive(
            *(self._team(y.numel()), _HALF[y.dtype], y.data_ptr(), mask.data_ptr()),
            *(*_rows(y), _limit(limit)),
        )
        return mask

    def masked(self, g: Tensor, mask: Mask) -> Tensor:
        """Clear, in place."""
        g = _dense(g)
        _check_mask(mask, g)
        self._c_masked(
            self._team(g.numel()), _HALF[g.dtype], g.data_ptr(), mask.data_ptr(), *_rows(g)
        )
        return g

    def relu_positive(self, x: Tensor, limit: float = math.inf) -> tuple[Tensor, Mask]:
        """Cut off in place, and set bits."""
        x = _dense(x)
        mask = _new_mask(x)
        self._c_relu_positive(
            *(self._team(x.numel()), _HALF[x.dtype], x.data_ptr(), mask.data_ptr()),
            *(*_rows(x), _limit(limit)),
        )
        return x, mask

    def concat(self, parts: Sequence[Tensor], *, want_mask: bool) -> tuple[Tensor, Mask | None]:
        """Copy the parts of each pixel side by side, and set bits while they are near."""
        parts = [_dense(part) for part in parts]
        first = parts[0]
        for part in parts[1:]:
            if part.shape[2:] != first.shape[2:] or part.dtype != first.dtype:
                raise ValueError(
                    f"concat: {tuple(part.shape)} {part.dtype} does not fit "
                    f"{tuple(first.shape)} {first.dtype}; give maps of one size and dtype."
                )
            _check_same(part.shape[0], first.shape[0], "pictures")
        if not want_mask:  # there is nothing to gain
            return _dense(torch.cat(parts, 1)), None
        result = _new(first, sum(part.shape[1] for part in parts), first.shape[2:])
        mask = _new_mask(result)
        self._join_or_cut(self._c_concat, result, parts, mask)
        return result, mask

    def split(self, g: Tensor, mask: Mask | None, sizes: Sequence[int]) -> list[Tensor]:
        """Copy parts of each pixel, where they are open."""
        g = _dense(g)
        _check_same(sum(sizes), g.shape[1], "channels")
        if mask is not None:
            _check_mask(mask, g)
        parts = [_new(g, size, g.shape[2:]) for size in sizes]
        self._join_or_cut(self._c_split, g, parts, mask)
        return parts

    def _join_or_cut(
        self, entry: Any, whole: Tensor, parts: Sequence[Tensor], mask: Mask | None
    ) -> None:
        count = len(parts)
        entry(
            self._team(whole.numel()),
            _HALF[whole.dtype],
            whole.data_ptr(),
            (_Address * count)(*(part.data_ptr() for part in parts)),
            (_Size * count)(*(part.shape[1] for part in parts)),
            None if mask is None else mask.data_ptr(),
            whole.numel() // whole.shape[1],
            count,
            whole.shape[1],
        )

    def max_pool(self, x: Tensor, window: Window, *, closed: bool) -> tuple[Tensor, Winners]:
        """Go over columns, then over rows."""
        x = _dense(x)
        high, wide = window.output_size(x.shape[2], x.shape[3])
        result = _new(x, x.shape[1], (high, wide))
        winners = torch.empty(result.shape, dtype=torch.uint8, device="cpu", memory_format=_LAST)
        block = max(1, _BLOCK // x.shape[1])
        kept = 2 * window.kernel[0] * min(block, wide) * x.shape[1] * x.element_size()
        self._pool(
            self._c_max_pool,
            *(x, result, window, x.shape[2:], (high, wide), kept, block),
            winners=winners.data_ptr(),
            closed=int(closed),
        )
        return result, winners

    def max_pool_backward(
        self,
        g: Tensor,
        winners: Winners,
        window: Window,
        size: tuple[int, int],
        add: Tensor | None = None,
    ) -> Tensor:
        """Let each pixel ask the windows that hold it."""
        g = _dense(g)
        _check_pooled(g, window, size)
        if winners.shape != g.shape or winners.dtype != torch.uint8:
            raise ValueError(
                f"winners: {tuple(winners.shape)} {winners.dtype} does not fit a gradient of "
                f"{tuple(g.shape)}; give what max_pool gave."
            )
        winners = winners.contiguous(memory_format=_LAST)
        if add is None:
            result = _new(g, g.shape[1], size)
        else:
            result = _dense(add)
            if result.dtype != g.dtype or result.shape != (*g.shape[:2], *size):
                raise ValueError(
                    f"add: {tuple(add.shape)} {add.dtype} is not a map of {tuple(size)} px like "
                    f"the gradient, {tuple(g.shape)} {g.dtype}."
                )
        self._pool(
            self._c_max_pool_backward,
            *(g, result, window, size, g.shape[2:], 0, 1),
            winners=winners.data_ptr(),
            add=None if add is None else result.data_ptr(),
        )
        return result

    def avg_pool(self, x: Tensor, window: Window, *, count_include_pad: bool) -> Tensor:
        """Go over columns, then over rows."""
        return self._averaged(x, window, count_include_pad=count_include_pad)

    def energy_pool(self, x: Tensor, window: Window, quiet: float) -> Tensor:
        """Do as for the mean; only the root is rounded to x's dtype."""
        return self._averaged(x, window, count_include_pad=False, squares=1, quiet=quiet)

    def _averaged(
        self, x: Tensor, window: Window, *, count_include_pad: bool, **rest: Any
    ) -> Tensor:
        x = _dense(x)
        high, wide = window.output_size(x.shape[2], x.shape[3])
        result = _new(x, x.shape[1], (high, wide))
        block = max(1, _BLOCK // x.shape[1])
        kept = 4 * window.kernel[0] * min(block, wide) * x.shape[1]
        self._average(
            self._c_avg_pool,
            *(x, result, window, (x.shape[2], x.shape[3]), (high, wide), kept, block),
            count_include_pad=count_include_pad,
            **rest,
        )
        return result

    def avg_pool_backward(
        self, g: Tensor, window: Window, size: tuple[int, int], *, count_include_pad: bool
    ) -> Tensor:
        """Let each pixel ask the windows that hold it, over rows, then over columns."""
        return self._spread(g, window, size, count_include_pad=count_include_pad)

    def energy_pool_backward(self, g: Tensor, x: Tensor, y: Tensor, window: Window) -> Tensor:
        """Do as for the mean, and multiply with x on the way out."""
        x = _dense(x)
        _check_same(g.shape[0], x.shape[0], "pictures")
        _check_same(g.shape[1], x.shape[1], "channels")
        times = {"times": x.data_ptr(), "half_times": _HALF[x.dtype]}
        size = (x.shape[2], x.shape[3])
        return self._spread((g / y).to(g.dtype), window, size, count_include_pad=False, **times)

    def _spread(
        self,
        g: Tensor,
        window: Window,
        size: tuple[int, int],
        *,
        count_include_pad: bool,
        **rest: Any,
    ) -> Tensor:
        g = _dense(g)
        _check_pooled(g, window, size)
        result = _new(g, g.shape[1], size)
        block = max(1, _BLOCK // g.shape[1])
        reached = (min(block, size[1]) + window.kernel[1]) // window.stride[1] + 2
        self._average(
            self._c_avg_pool_backward,
            *(g, result, window, size, (g.shape[2], g.shape[3]), 4 * reached * g.shape[1], block),
            count_include_pad=count_include_pad,
            **rest,
        )
        return result

    def _average(
        self,
        entry: Any,
        x: Tensor,
        y: Tensor,
        window: Window,
        size: tuple[int, int],
        outputs: tuple[int, int],
        kept: int,
        block: int,
        *,
        count_include_pad: bool,
        **rest: Any,
    ) -> None:
        rows, columns = (
            _shares(window, axis, size[axis], outputs[axis], count_include_pad=count_include_pad)
            for axis in (0, 1)
        )
        address = ctypes.addressof
        self._pool(
            entry,
            *(x, y, window, size, outputs, kept, block),
            row_share=address(rows),
            column_share=address(columns),
            **rest,
        )

    def _pool(
        self,
        entry: Any,
        x: Tensor,
        y: Tensor,
        window: Window,
        size: Sequence[int],
        outputs: Sequence[int],
        kept: int,
        block: int,
        **rest: Any,
    ) -> None:
        team = self._team(max(x.numel(), y.numel()))
        kept = -(-kept // 64) * 64
        scratch = torch.empty(kept * torch.get_num_threads(), dtype=torch.uint8, device="cpu")
        pool = _Pool.from_buffer_copy(
            _pool(
                *(window, x.shape[0], x.shape[1], tuple(size), tuple(outputs), kept, block),
                half=_HALF[x.dtype],
            )
        )
        pool.x, pool.y, pool.scratch = x.data_ptr(), y.data_ptr(), scratch.data_ptr()
        for name, value in rest.items():
            setattr(pool, name, value)
        entry(team, ctypes.byref(pool))

    def silu(self, x: Tensor, add: Tensor | None = None) -> Tensor:
        """Compute with an exponential that compilers vectorize."""
        x = _dense(x)
        result = torch.empty_like(x)
        if add is not None:
            add = _dense(add)
            _check_like(add, x)
            if add.dtype != x.dtype:
                raise ValueError(f"silu: {add.dtype} cannot be added to {x.dtype}.")
        self._c_silu(
            *(self._team(x.numel()), _HALF[x.dtype], x.data_ptr()),
            *(None if add is None else add.data_ptr(), result.data_ptr(), x.numel()),
        )
        return result

    def silu_backward(self, g: Tensor, x: Tensor, *, keep: bool = False) -> Tensor:
        """Compute the slope anew."""
        g, x = _dense(g), _dense(x)
        _check_like(g, x)
        result = torch.empty_like(g) if keep else g
        self._c_silu_backward(
            *(self._team(x.numel()), _HALF[x.dtype], _HALF[g.dtype]),
            *(x.data_ptr(), g.data_ptr(), result.data_ptr(), x.numel()),
        )
        return result

    def ingest(
        self,
        image: Tensor,
        shift: tuple[int, int],
        mean: Sequence[float],
        padding: Padding,
        unshuffle: bool,
        dtype: torch.dtype,
    ) -> Tensor:
        """Read every pixel once."""
        if image.dtype != torch.float32 or image.dim() != 4 or image.shape[1] != 3:  # noqa: PLR2004
            raise ValueError(
                f"image: {tuple(image.shape)} {image.dtype} must be (N, 3, H, W) float32."
            )
        image = image.contiguous()
        top, bottom, left, right = padding
        high, wide = image.shape[2] + top + bottom, image.shape[3] + left + right
        folds = 2 if unshuffle else 1
        if min(high, wide) < 1 or high % folds or wide % folds:
            raise ValueError(
                f"padding: {padding} makes {high} x {wide} px, which must be 1 or more, "
                "and even to be folded."
            )
        shape = (image.shape[0], 3 * folds**2, high // folds, wide // folds)
        result = torch.empty(shape, dtype=dtype, device="cpu", memory_format=_LAST)
        self._end(self._c_ingest, image, result, shift, mean, padding, unshuffle, "picture")
        return result

    def egest(
        self,
        gradient: Tensor,
        size: tuple[int, int],
        shift: tuple[int, int],
        padding: Padding,
        unshuffle: bool,
    ) -> Tensor:
        """Write every pixel once."""
        gradient = _dense(gradient)
        _check_same(gradient.shape[1], 12 if unshuffle else 3, "channels")
        result = gradient.new_empty((gradient.shape[0], 3, *size), dtype=torch.float32)
        self._end(
            self._c_egest,
            *(result, gradient, shift, (0.0, 0.0, 0.0), padding, unshuffle, "picture_gradient"),
        )
        return result

    def _end(
        self,
        entry: Any,
        picture: Tensor,
        map_: Tensor,
        shift: tuple[int, int],
        mean: Sequence[float],
        padding: Padding,
        unshuffle: bool,
        side: str,
    ) -> None:
        folds = 2 if unshuffle else 1
        count, _, height, width = picture.shape
        team = self._team(picture.numel())
        scratch = map_.new_empty(
            6 * map_.shape[3] * folds * torch.get_num_threads(), dtype=torch.float32
        )
        end = _End(
            map=map_.data_ptr(),
            mean=(ctypes.c_float * 3)(*mean),
            pictures=count,
            height=height,
            width=width,
            high=map_.shape[2] * folds,
            wide=map_.shape[3] * folds,
            down=shift[0] % height,
            right=shift[1] % width,
            top=padding[0],
            left=padding[2],
            unshuffle=int(unshuffle),
            half=_HALF[map_.dtype],
            scratch=scratch.data_ptr(),
            **{side: picture.data_ptr()},
        )
        entry(team, ctypes.byref(end))


def variants(library: ctypes.CDLL) -> list[str]:
    """List the variants in a library that this processor can run, fastest first."""
    names = [f"v{level}" for level in (4, 3) if level <= library.level()] + ["base"]
    return [name for name in names if hasattr(library, f"silu_{name}")] or names


def _dense(map_: Tensor) -> Tensor:
    """Check a map, so that C reads what it expects."""
    if map_.device.type != "cpu" or map_.dtype not in _HALF or map_.dim() != 4:  # noqa: PLR2004
        raise ValueError(
            f"map: {tuple(map_.shape)} {map_.dtype} on {map_.device} must be (N, C, H, W), float32 "
            "or bfloat16, on the CPU; the plain kernels take others (REVERIE_KERNELS=plain)."
        )
    return map_.contiguous(memory_format=_LAST)


def _new(like: Tensor, channels: int, size: Sequence[int]) -> Tensor:
    return torch.empty(
        (like.shape[0], channels, *size), dtype=like.dtype, device="cpu", memory_format=_LAST
    )


def _limit(limit: float) -> float:
    """Write no limit as C does here, NaN: an open value may be infinite."""
    return math.nan if math.isinf(limit) else limit


def _rows(map_: Tensor) -> tuple[int, int]:
    channels = map_.shape[1]
    return map_.numel() // max(1, channels), channels


def _mask_size(map_: Tensor) -> int:
    rows, channels = _rows(map_)
    return rows * ((channels + 7) // 8) + _SLACK


def _new_mask(map_: Tensor) -> Mask:
    return torch.empty(_mask_size(map_), dtype=torch.uint8, device="cpu")


def _check_mask(mask: Mask, g: Tensor) -> None:
    if mask.dtype != torch.uint8 or mask.numel() != _mask_size(g) or not mask.is_contiguous():
        raise ValueError(
            f"mask: {tuple(mask.shape)} {mask.dtype} is not of a map of {tuple(g.shape)}; give "
            "what these kernels made of one."
        )


def _check_same(found: int, wanted: int, what: str) -> None:
    if found != wanted:
        raise ValueError(f"{what}: {found} given, {wanted} needed.")


def _check_like(map_: Tensor, x: Tensor) -> None:
    if map_.shape != x.shape:
        raise ValueError(f"silu: {tuple(map_.shape)} is not the size of x, {tuple(x.shape)}.")


def _check_pooled(g: Tensor, window: Window, size: tuple[int, int]) -> None:
    wanted = window.output_size(*size)
    if tuple(g.shape[2:]) != wanted:
        raise ValueError(
            f"gradient: {tuple(g.shape[2:])} px is not what {window} makes of {tuple(size)} px; "
            f"that is {wanted}."
        )


@lru_cache(maxsize=256)
def _pool(
    window: Window,
    pictures: int,
    channels: int,
    size: tuple[int, int],
    outputs: tuple[int, int],
    kept: int,
    block: int,
    *,
    half: int,
) -> _Pool:
    """Fill in what is the same in every step; only to be copied."""
    return _Pool(
        pictures=pictures,
        channels=channels,
        height=size[0],
        width=size[1],
        high=outputs[0],
        wide=outputs[1],
        kernel=_Sizes(*window.kernel),
        stride=_Sizes(*window.stride),
        padding=_Sizes(*window.padding),
        scratch_bytes=kept,
        block=block,
        half=half,
    )


@lru_cache(maxsize=256)
def _shares(
    window: Window, axis: int, length: int, outputs: int, *, count_include_pad: bool
) -> Any:
    """One over the number of pixels that each window is divided by, along an axis."""
    kernel, stride, padding = (
        pair[axis] for pair in (window.kernel, window.stride, window.padding)
    )
    shares = (ctypes.c_float * outputs)()
    for output in range(outputs):
        start = output * stride - padding
        end = min(start + kernel, length + padding)
        if not count_include_pad:
            start, end = max(0, start), min(end, length)
        shares[output] = 1 / (end - start)
    return shares


def _openmp() -> tuple[str, tuple[int, int, int]] | None:
    """Find the OpenMP runtime that PyTorch has loaded, and its three functions that we need.

    A second runtime would bring a second pool of threads, waiting on the same processors, so the
    library is not linked with any. LLVM's and Intel's runtimes for Linux have GNU's functions too.
    """
    for name in _loaded_runtimes():
        with suppress(OSError, AttributeError):
            runtime = ctypes.CDLL(name, mode=_LOADED_ONLY)
            found = (runtime.GOMP_parallel, runtime.omp_get_thread_num, runtime.omp_get_num_threads)
            first, second, third = (ctypes.cast(each, _Address).value or 0 for each in found)
            return name, (first, second, third)
    return None


_LOADED_ONLY = 0x4 | ctypes.DEFAULT_MODE
"""RTLD_NOLOAD of Linux: fail rather than load anything."""


def _loaded_runtimes() -> list[str]:
    try:
        lines = Path("/proc/self/maps").read_text("utf-8", "replace").splitlines()
    except OSError:
        return []
    paths = dict.fromkeys(line.split(maxsplit=5)[5] for line in lines if line.count("/") > 0)
    known = [
        path for path in paths if Path(path).name.startswith(("libgomp", "libiomp5", "libomp"))
    ]
    # Several may be loaded by other libraries: PyTorch's own lies beside it.
    home = str(Path(torch.__file__).parent)
    return sorted(known, key=lambda path: not path.startswith(home))
