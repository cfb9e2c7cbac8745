"""Do from Python what the command line does: predict, load a model, run a night.

For notebooks and other schedulers. The same doors are used as by the commands, so the champion is
the ledger's, only files that it knows are loaded, and settings, servers and home are found alike.
"""

from __future__ import annotations

import json
import logging
import os
import secrets
import subprocess
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Final

from sentiflow import errors
from sentiflow.errors import SentiflowError, UsageError
from sentiflow.processes import make_module_command

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from sentiflow.release.registry import RegisteredModel
    from sentiflow.reporting.record import NightRecord

logger = logging.getLogger(__name__)

_END_SECONDS: Final = 30.0
# What a night became that did not come to its end, by its exit code.
_ENDINGS: Final = {2: "UsageError", 3: "DataRejected", 4: "GateNotEvaluated"}


class Model:
    """A registered version, loaded: it answers texts.

    `load` makes these. One may be kept and asked from several threads at once.

    Attributes:
        name: the registered model's name, as in MLflow.
        version: its version number.
    """

    def __init__(self, loaded: RegisteredModel) -> None:
        """Keep what was loaded."""
        self.name: str = loaded.version.name
        self.version: int = loaded.version.number
        self._loaded = loaded

    def predict(self, texts: Iterable[str]) -> npt.NDArray[np.float32]:
        """Return P(positive) of each text.

        Args:
            texts: n strings of any content, also empty ones: a list, a pandas column, a generator.

        Returns:
            Probabilities in the texts' order; shape (n,), dtype float32. 0.5 and above is positive.

        Raises:
            UsageError: they are not all strings.
        """
        return self._loaded.predict(_check_texts(texts))

    def __repr__(self) -> str:
        """Return name and version."""
        return f"Model(name={self.name!r}, version={self.version})"


def predict(
    texts: Iterable[str],
    model: str | int | Model = "champion",
    *,
    config: str | None = None,
    settings: Mapping[str, object] | None = None,
    home: str | os.PathLike[str] | None = None,
) -> npt.NDArray[np.float32]:
    """Return P(positive) of each text, as `sentiflow predict` does.

    A name or number is looked up and loaded in every call, which takes seconds: whoever asks often
    loads once and passes the model.

    Args:
        texts: n strings of any content, also empty ones: a list, a pandas column, a generator.
        model: `champion`, `challenger`, a version number, or what `load` returned.
        config: a preset's name (`large`) or the path of a TOML file.
        settings: single settings by their dotted keys, `{"model.name": "sentiflow-sample"}`.
        home: the folder of all state; default SENTIFLOW_HOME, or .sentiflow/ here.

    Returns:
        Probabilities in the texts' order; shape (n,), dtype float32. 0.5 and above is positive.

    Raises:
        UsageError: the texts are not all strings, or a setting is wrong.
        NoModelError: there is no such version.
        UnknownFiles: its files are not those that the ledger knows.
        ArtifactError: it does not load, or does not answer as when it was made.
        LedgerUnreachable, RegistryUnreachable: one of them did not answer.
    """
    # Before anything is loaded for them.
    checked = _check_texts(texts)
    if not isinstance(model, Model):
        model = load(model, config=config, settings=settings, home=home)
    return model.predict(checked)


def load(
    model: str | int = "champion",
    *,
    config: str | None = None,
    settings: Mapping[str, object] | None = None,
    home: str | os.PathLike[str] | None = None,
) -> Model:
    """Load a registered version, to ask it often.

    It stays the version it is, whatever becomes champion later. Prefect is not needed, and neither
    is MLflow once it is loaded. The environment is afterwards as it was; MLflow's tracking address
    in this process is then the home's.

    Args:
        model: `champion`, `challenger` or a version number.
        config: a preset's name (`large`) or the path of a TOML file.
        settings: single settings by their dotted keys, `{"model.name": "sentiflow-sample"}`.
        home: the folder of all state; default SENTIFLOW_HOME, or .sentiflow/ here.

    Returns:
        The model.

    Raises:
        UsageError: a setting is wrong.
        NoModelError: there is no such version.
        UnknownFiles: its files are not those that the ledger knows.
        ArtifactError: it does not load, or does not answer as when it was made.
        LedgerUnreachable, RegistryUnreachable: one of them did not answer.
    """
    from sentiflow.settings import load_settings, use_home

    read = load_settings(config, _write_overrides(settings))
    with use_home(home) as folder:
        # MLflow reads the environment when it is imported.
        from sentiflow.release.chosen_version import choose_version
        from sentiflow.release.open_home import HomeContext

        return Model(choose_version(HomeContext(read, folder), str(model)).load())


def run(
    data: str | os.PathLike[str] | Sequence[str | os.PathLike[str]] = (),
    *,
    businesses: str | os.PathLike[str] | None = None,
    category: str | None = None,
    config: str | None = None,
    settings: Mapping[str, object] | None = None,
    as_of: date | str | None = None,
    force: bool = False,
    new_lineage: bool = False,
    supersede: bool = False,
    reason: str | None = None,
    home: str | os.PathLike[str] | None = None,
    check: bool = True,
) -> NightRecord:
    """Run one night and return what came of it, as `sentiflow run` does.

    The night has a process of its own: it works in any thread, beside a running event loop and
    inside another scheduler's task, and leaves this process as it was. What it says on the way is
    logged by `sentiflow.api`. It ends with this process, even if that is killed.

    Args:
        data: files, globs, folders or URLs of reviews; none: the embedded sample.
        businesses: a businesses file, to filter and slice by category.
        category: only reviews of this category, as a model of its own.
        config: a preset's name (`large`) or the path of a TOML file.
        settings: single settings by their dotted keys, `{"training.epochs": 3}`.
        as_of: the night's date; default today in schedule.timezone.
        force: train even if nothing changed.
        new_lineage: start a lineage without a champion.
        supersede: replace a champion that no longer loads.
        reason: why, for `new_lineage` and `supersede`.
        home: the folder of all state; default SENTIFLOW_HOME, or .sentiflow/ here.
        check: raise for a night that was rejected or failed. False: return its record, which says
            so in `outcome`, `reasons` and `exit_code`. A night that never opened raises anyhow.

    Returns:
        The night's record, with the keys of `sentiflow run --json` as attributes.

    Raises:
        UsageError: a setting or source is wrong; nothing was done.
        DataRejected: the data was rejected; `reasons` says why.
        GateNotEvaluated: the gate could not be evaluated, or another night is running; the
            champion is kept.
        SentiflowError: the night failed otherwise; run it again to go on where it stopped.
        KeyboardInterrupt: somebody interrupted this call; the night was ended first.
    """
    options = {
        "--businesses": businesses, "--category": category, "--config": config,
        "--as-of": as_of, "--reason": reason,
    }  # fmt: skip
    flags = {"--force": force, "--new-lineage": new_lineage, "--supersede": supersede}
    sources = [data] if isinstance(data, str | os.PathLike) else data
    arguments = [
        *(f"--data={os.fspath(source)}" for source in sources),
        *(f"{name}={value}" for name, value in options.items() if value is not None),
        *(f"--set={override}" for override in _write_overrides(settings)),
        *(name for name, is_set in flags.items() if is_set),
    ]
    answer, code = _run_command(["run", "--json", *arguments], home)
    return _read_night(answer, code, check)


def _check_texts(texts: Iterable[str]) -> list[str]:
    """Return the texts as a list; what is none of them is told by type and place alone."""
    received = None
    if isinstance(texts, str | bytes):
        received = f"one {type(texts).__name__}. Put it into a list"
    elif not isinstance(texts, Iterable):
        received = f"{type(texts).__name__}. Give a list"
    else:
        texts = list(texts)
        for position, text in enumerate(texts):
            if not isinstance(text, str):
                received = f"{type(text).__name__} at position {position}. Fill or leave it out"
                break
    if received is not None:
        raise UsageError(f"The texts must be strings, any number of them. Received: {received}.")
    return list(texts)


def _write_overrides(settings: Mapping[str, object] | None) -> list[str]:
    """Return settings as the command line takes them.

    >>> _write_overrides({"network.units": [64, 32], "data.category": None, "gate.fresh": True})
    ['network.units=[64, 32]', 'data.category=none', 'gate.fresh=true']
    """
    return [f"{key}={_format_value(value)}" for key, value in (settings or {}).items()]


def _format_value(value: object) -> str:
    """Return a value as TOML."""
    if value is None:
        return "none"
    if isinstance(value, list | tuple):
        return f"[{', '.join(_format_value(entry) for entry in value)}]"
    if isinstance(value, str | os.PathLike):
        return json.dumps(os.fspath(value), ensure_ascii=False)
    return str(value).lower() if isinstance(value, bool) else str(value)


def _run_command(arguments: Sequence[str], home: str | os.PathLike[str] | None) -> tuple[str, int]:
    """Return what a command printed and its exit code; its log becomes this process's."""
    from sentiflow.servers.guard import MARK
    from sentiflow.settings import copy_environment

    environment = {**copy_environment(), "PYTHONIOENCODING": "utf-8"}
    if home is not None:
        environment["SENTIFLOW_HOME"] = str(Path(home).expanduser().absolute())
    environment[MARK] = environment.get(MARK, "") + secrets.token_hex(8)
    with _guard(environment[MARK]):
        process = subprocess.Popen(
            make_module_command("sentiflow", *arguments),
            env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, encoding="utf-8", errors="replace",
            # Ctrl-C in a terminal or notebook comes here, and here it is passed on.
            start_new_session=True,
        )  # fmt: skip
        with process:
            assert process.stdout is not None
            telling = threading.Thread(target=_log_lines, args=(process.stderr,), daemon=True)
            telling.start()
            try:
                answer = process.stdout.read()
            except BaseException:
                # An interrupt too must not leave a night behind that nobody waits for.
                _end(process)
                raise
            telling.join()
        return answer, process.returncode


@contextmanager
def _guard(mark: str) -> Iterator[None]:
    """End every process that has the mark when the block ends, or when this process does."""
    from sentiflow.servers.guard import start_guard

    reading, writing = os.pipe()
    guard = start_guard(mark, _END_SECONDS, reading)
    os.close(reading)
    try:
        yield
    finally:
        os.close(writing)
        guard.wait()


def _log_lines(stream: IO[str]) -> None:
    for line in stream:
        logger.info("%s", line.strip())


def _end(process: subprocess.Popen[str]) -> None:
    """End a night by SIGTERM, so that it records what became of it."""
    process.terminate()
    try:
        process.wait(_END_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()


def _read_night(answer: str, code: int, check: bool) -> NightRecord:
    """Return the record that a night's process printed, or raise what ended it.

    Raises:
        SentiflowError: as `run`.
    """
    from sentiflow.reporting.record import NightRecord

    try:
        values: dict[str, Any] = json.loads(answer)
    except ValueError:
        raise SentiflowError(
            f"A night must end with its record. Received: none, exit code {code}; the log of "
            "sentiflow.api has what it said. Run it again: finished steps are kept."
        ) from None
    reasons = values["reasons"]
    if "error" in values:
        raise _make_error(values["error"], reasons)
    record = NightRecord.model_validate(values)
    if check and record.exit_code:
        raise _make_error(_ENDINGS.get(record.exit_code, "SentiflowError"), reasons)
    return record


def _make_error(name: str, reasons: Sequence[str]) -> SentiflowError:
    """Return the error of this name; what is none of ours (an interruption) is the general one."""
    kind: type[SentiflowError] = vars(errors).get(name, SentiflowError)
    return errors.DataRejected(reasons) if kind is errors.DataRejected else kind(" ".join(reasons))
