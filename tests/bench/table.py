"""The lines of the benchmarks' tables."""


def row(what: str, value: str, target: str = "", met: bool | None = None) -> None:
    mark = "" if met is None else "met" if met else "MISSED"
    print(f"{what:<66} {value:>22}  {target:<14} {mark}".rstrip(), flush=True)
