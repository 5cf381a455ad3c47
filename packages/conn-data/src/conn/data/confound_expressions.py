"""Expressions that choose, derive and square columns of a confound table, by a parser of their own."""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from conn.data.errors import DataError

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["confound_columns"]

_SHORT = {
    "rps": ("trans_x", "trans_y", "trans_z", "rot_x", "rot_y", "rot_z"),
    "wm": ("white_matter",),
    "csf": ("csf",),
    "gsr": ("global_signal",),
    "fd": ("framewise_displacement",),
    "dvars": ("std_dvars",),
}
_TOKEN = re.compile(
    r"\s*(?:(?P<select>[nv])_\{\{(?P<inside>[^{}]*)\}\}"
    r"|(?P<number>\d+(?:\.\d*)?|\.\d+)|(?P<name>[A-Za-z_]\w*)|(?P<sign>\^\^|>=|<=|[-+()^<>]))"
)
_DERIVATIVE = re.compile(r"(?P<all>d?)d(?P<order>[1-9])")
_MASKS = ("combined", "CSF", "WM")
_MOST_COLUMNS, _DEEPEST = 10_000, 50

_Columns = dict[str, NDArray[np.float64]]


def confound_columns(
    table: "pd.DataFrame", expression: str, *, metadata: Mapping[str, Mapping[str, Any]] | None = None
) -> "pd.DataFrame":
    r"""Return the regressors that an expression makes of a confound table.

    ====================== ===================================================================================
    ``a + b``              the columns of both, each once
    ``trans_x``            a column by its name; ``rps`` is the six motion parameters, ``wm``, ``csf`` and ``gsr``
                           the mean signals, ``fd`` framewise displacement, ``dvars`` ``std_dvars``
    ``d1(a)``, ``dd1(a)``  backward differences :math:`x_t - x_{t-1}`; with ``dd`` also the columns themselves. ``2`` to
                           ``9`` are higher orders
    ``a^2``, ``a^^2``      squares; with ``^^`` also all lower powers
    ``n_{{5; acc}}``       the first 5 anatomical CompCor components; ``n_{{5; acc; Mask=WM}}`` those of one mask
                           (``combined``, the default, ``CSF`` or ``WM``); ``tcc`` are the temporal ones
    ``v_{{0.5; acc}}``     as few of them as explain half the variance
    ``spikes(fd > 0.5)``   a column with a single 1 for each frame of which this is true; comparisons are joined by
                           ``and``, ``or`` and ``not``, in parentheses where needed
    ====================== ===================================================================================

    ``dd1((rps + wm + csf + gsr))^^2`` is the 36-parameter model. Precedence, from loose to tight: ``+``, powers, calls.

    Parameters
    ----------
    table : pandas.DataFrame
        One row a frame, such as fMRIPrep's ``desc-confounds_timeseries.tsv``.
    expression : str
        See above.
    metadata : mapping, default None
        The table's JSON file; CompCor components are selected by what it says of ``Method``, ``Mask``,
        ``CumulativeVarianceExplained`` and ``Retained``.

    Returns
    -------
    pandas.DataFrame
        float64, one row a frame. Names follow fMRIPrep: ``trans_x_derivative1_power2``. The first frame of a
        difference has none before it: it takes the second frame's value, as nilearn does, and so it does in a
        column that is empty in its first frame only. Any other missing value is refused.

    Raises
    ------
    DataError
        If the expression cannot be read (the message tells the place), names a column that is not there, or
        chooses a column with a missing or infinite value; if components are asked for without metadata, or there
        are not as many as asked for. Spikes of no frame are no columns, and no error.

    References
    ----------
    36 parameters: Satterthwaite et al. 2013, NeuroImage 64:240-256. https://doi.org/10.1016/j.neuroimage.2012.08.052
    CompCor: Behzadi et al. 2007, NeuroImage 37:90-101. https://doi.org/10.1016/j.neuroimage.2007.04.042

    Examples
    --------
    >>> import pandas as pd
    >>> table = pd.DataFrame({"csf": [1.0, 2.0, 4.0], "white_matter": [3.0, 3.0, 5.0]})
    >>> confound_columns(table, "dd1(csf)^^2 + wm")
       csf  csf_power2  csf_derivative1  csf_derivative1_power2  white_matter
    0  1.0         1.0              1.0                     1.0           3.0
    1  2.0         4.0              1.0                     1.0           3.0
    2  4.0        16.0              2.0                     4.0           5.0
    """
    import pandas as pd

    reader = _Reader(table, expression, metadata)
    columns = reader.whole()
    for name, values in columns.items():
        if not np.isfinite(values).all():
            frame = int((~np.isfinite(values)).argmax())
            raise DataError(f"confound {name!r} is {values[frame]} in frame {frame}")
    return pd.DataFrame(columns, index=range(len(table)), dtype=np.float64)


class _Reader:
    """A descent through the expression, one method a level of precedence."""

    def __init__(self, table: "pd.DataFrame", expression: str, metadata: Mapping[str, Mapping[str, Any]] | None):
        self._table, self._text, self._metadata = table, expression, metadata
        self._tokens = _tokens(expression)
        self._place = self._depth = 0

    def whole(self) -> _Columns:
        columns = self._sum()
        self._expect("")
        return columns

    def _sum(self) -> _Columns:
        self._depth += 1
        if self._depth > _DEEPEST:
            raise self._error(f"more than {_DEEPEST} parentheses inside one another")
        columns = self._power()
        while self._take("+"):
            columns |= self._power()
        if len(columns) > _MOST_COLUMNS:
            raise self._error(f"more than {_MOST_COLUMNS} columns")
        self._depth -= 1
        return columns

    def _power(self) -> _Columns:
        columns = self._term()
        while (sign := self._take("^^", "^")) is not None:
            highest = self._number()
            if highest != int(highest) or not 2 <= highest <= 9:
                raise self._error("a power is a whole number from 2 to 9")
            powers = range(1 if sign == "^^" else int(highest), int(highest) + 1)
            columns = {
                name if power == 1 else f"{name}_power{power}": values**power
                for name, values in columns.items()
                for power in powers
            }
        return columns

    def _term(self) -> _Columns:
        kind, word = self._next()
        if word == "(":
            columns = self._sum()
            self._expect(")")
            return columns
        if kind == "select":
            return self._components(word)
        if kind != "name":
            raise self._error(f"{word or 'the end'!r} where a confound was expected", back=1)
        derivative = _DERIVATIVE.fullmatch(word)
        if (derivative or word == "spikes") and self._take("("):
            if derivative is None:
                spikes = self._spikes(self._either())
                self._expect(")")
                return spikes
            columns = self._sum()
            self._expect(")")
            return _differences(columns, int(derivative["order"]), bool(derivative["all"]))
        return {name: _completed(self._column(name)) for name in _SHORT.get(word, (word,))}

    def _either(self) -> NDArray[np.bool_]:
        found = self._both()
        while self._take("or"):
            found = self._both() | found
        return found

    def _both(self) -> NDArray[np.bool_]:
        found = self._comparison()
        while self._take("and"):
            found = self._comparison() & found
        return found

    def _comparison(self) -> NDArray[np.bool_]:
        if self._take("not"):
            return ~self._comparison()
        if self._take("("):
            self._depth += 1
            if self._depth > _DEEPEST:
                raise self._error(f"more than {_DEEPEST} parentheses inside one another")
            found = self._either()
            self._expect(")")
            self._depth -= 1
            return found
        kind, word = self._next()
        names = _SHORT.get(word, (word,))
        if kind != "name" or len(names) != 1:
            raise self._error(f"{word or 'the end'!r} where one column was expected", back=1)
        values = self._column(names[0])
        sign = self._take(">", "<", ">=", "<=")
        if sign is None:
            raise self._error("a column is compared with >, >=, < or <=")
        limit = (-1.0 if self._take("-") else 1.0) * self._number()
        compare: dict[str, Callable[..., Any]] = {
            ">": np.greater, "<": np.less, ">=": np.greater_equal, "<=": np.less_equal,
        }  # fmt: skip
        return compare[sign](values, limit)  # a missing value is neither: the first frame of a difference is no spike

    def _spikes(self, frames: NDArray[np.bool_]) -> _Columns:
        columns = {}
        for frame in np.flatnonzero(frames):
            column = np.zeros(len(frames))
            column[frame] = 1.0
            columns[f"spike_{frame:04d}"] = column
        return columns

    def _components(self, inside: str) -> _Columns:
        how, _, content = inside.partition(":")
        amount, kind, *options = [part.strip() for part in content.split(";")] + [""]
        mask = "combined"
        for option in filter(None, options):
            key, _, value = option.partition("=")
            if key.strip() != "Mask" or value.strip() not in _MASKS:
                raise self._error(f"option {option!r} of components, expected Mask= and one of {', '.join(_MASKS)}")
            mask = value.strip()
        prefix = {"acc": "aCompCor", "tcc": "tCompCor"}.get(kind)
        try:
            limit = float(amount)
        except ValueError:
            limit = float("nan")
        whole = how == "n"
        if prefix is None or not limit > 0 or (whole and limit != int(limit)) or (not whole and limit > 1):
            raise self._error(
                f"{how}_{{{{{content}}}}}, expected a {'count' if whole else 'share of variance up to 1'}; acc or tcc"
            )
        if self._metadata is None:
            raise self._error("components need the table's JSON file, and there is none")
        found = []
        for name, facts in self._metadata.items():
            if facts.get("Method") != prefix or name not in self._table.columns or facts.get("Retained") is False:
                continue
            if prefix == "tCompCor" or facts.get("Mask") == mask:
                found.append((float(facts.get("CumulativeVarianceExplained", "nan")), name))
        # The table has them in the order of the variance that each explains; so has the sum.
        found.sort()
        count = int(limit) if whole else 1 + int(np.searchsorted([share for share, _ in found], limit))
        if count > len(found):
            raise self._error(f"{how}_{{{{{content}}}}}: there are {len(found)} components of {prefix} ({mask})")
        return {name: self._column(name) for _, name in found[:count]}

    def _column(self, name: str) -> NDArray[np.float64]:
        if name not in self._table.columns:
            raise self._error(f"the table has no column {name!r}")
        try:
            return self._table[name].to_numpy(dtype=np.float64)
        except (TypeError, ValueError) as error:
            raise DataError(f"confound {name!r} does not consist of numbers: {error}") from error

    def _number(self) -> float:
        kind, word = self._next()
        if kind != "number":
            raise self._error(f"{word or 'the end'!r} where a number was expected", back=1)
        return float(word)

    def _next(self) -> tuple[str, str]:
        kind, word, _ = self._tokens[self._place]
        self._place += kind != "end"
        return kind, word

    def _take(self, *words: str) -> str | None:
        word = self._tokens[self._place][1]
        if word not in words or not word:
            return None
        self._place += 1
        return word

    def _expect(self, word: str) -> None:
        found = self._tokens[self._place][1]
        if found != word:
            raise self._error(f"{found or 'the end'!r} where {word or 'the end'!r} was expected")
        self._place += bool(word)

    def _error(self, message: str, *, back: int = 0) -> DataError:
        place = self._tokens[max(self._place - back, 0)][2]
        return DataError(f"confound expression {self._text!r}, character {place + 1}: {message}")


def _tokens(text: str) -> Sequence[tuple[str, str, int]]:
    found, place = [], 0
    end = len(text.rstrip())
    while place < end:
        match = _TOKEN.match(text, place)
        if match is None or match.lastgroup is None:
            raise DataError(f"confound expression {text!r}, character {place + 1}: {text[place]!r} means nothing here")
        kind = "select" if match["select"] else match.lastgroup
        word = f"{match['select']}:{match['inside']}" if match["select"] else match[kind]
        found.append((kind, word, match.start(kind)))
        place = match.end()
    return [*found, ("end", "", len(text))]


def _completed(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return a column whose first frame, if it alone is missing, holds the second frame's value."""
    if len(values) > 1 and np.isnan(values[0]) and np.isfinite(values[1]):
        values = np.concatenate([values[1:2], values[1:]])
    return values


def _differences(columns: _Columns, highest: int, everything: bool) -> _Columns:
    found: _Columns = {}
    for name, values in columns.items():
        if len(values) <= highest:
            raise DataError(f"confound {name!r} has {len(values)} frames, too few for a difference of order {highest}")
        for order in range(highest + 1):
            if order == 0:
                changed = values
            else:
                changed = np.diff(values, n=order)
                changed = np.concatenate([np.repeat(changed[:1], order), changed])
            if everything or order == highest:
                found[f"{name}_derivative{order}" if order else name] = changed
    return found
