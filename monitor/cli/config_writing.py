"""Writes the file of `monitor init`: a new one, or a further target in an existing one."""

import os
import stat
import tempfile
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from monitor.cli.startup import BAD_INPUT, FAILED, file_fault, stop
from monitor.config import ConfigErrors, Settings, load
from monitor.config.environment import WHOLE_TEXT
from monitor.setup.config_draft import ConfigDraft


def write_new(draft: ConfigDraft, output: Path) -> Settings:
    """Write the file, read back with the usual validation before it gets its name."""
    try:
        with tempfile.NamedTemporaryFile("w", encoding="utf-8", suffix=".toml") as file:
            file.write(draft.text())
            file.flush()
            settings = load(_reading(Path(file.name)))
        with output.open("x", encoding="utf-8") as written:
            written.write(draft.text())
    except FileExistsError:
        refuse_existing(output)
    except ConfigErrors as fault:
        _invalid(fault)
    except OSError as error:
        stop(file_fault(error, output), BAD_INPUT)
    return settings


def refuse_existing(output: Path) -> NoReturn:
    stop(
        f"{output} exists, and init overwrites no file: name another with --output FILE, or add a "
        "target to it with --add",
        BAD_INPUT,
    )


@dataclass(frozen=True, slots=True)
class ExistingFile:
    """A valid configuration file as it was read."""

    path: Path
    content: bytes
    settings: Settings

    @classmethod
    def read(cls, path: Path, *, named: bool) -> "ExistingFile":
        """The file to add a target to; ends the command if it is not valid as it is.

        `named`: by a flag; otherwise the configuration may be in a variable instead.
        """
        if not named and os.environ.get(WHOLE_TEXT, "").strip():
            stop(f"--add changes a file, but the configuration is in {WHOLE_TEXT}", BAD_INPUT)
        try:
            content = path.read_bytes()
            settings = load(_reading(path), without_secrets=True)
        except FileNotFoundError:
            stop(f"{path} does not exist: leave out --add to create it", BAD_INPUT)
        except OSError as error:
            stop(f"{path} cannot be read: {error.strerror}", BAD_INPUT)
        except ConfigErrors as fault:
            listed = "\n".join(f"  {item}" for item in fault.faults)
            stop(f"{path} is not valid; correct it before you add a target:\n{listed}", BAD_INPUT)
        return cls(path, content, settings)

    def refuse_taken(self, name: str) -> None:
        """End the command if a target has this name."""
        if name in self.settings.targets:
            stop(f"{self.path} has a target {name}: give the new one a --name", BAD_INPUT)

    def refuse_priced(self, models: Iterable[str]) -> None:
        """End the command if the file has a price of one of these models."""
        for model in models:
            if model in self.settings.file.prices:
                stop(f'--price {model}: change [prices."{model}"] in {self.path}', BAD_INPUT)

    def add(self, draft: ConfigDraft) -> Settings:
        """Append the draft's target; all else stays as it is, byte for byte.

        The whole content is validated in a file beside it, which then takes its name. So there is
        never half a file, and a worker that reads it sees the old or the new one.
        """
        content = self.content + self._appended(draft)
        path = self.path.resolve()  # a link stays a link
        beside: Path | None = None
        try:
            mode = path.stat()
            descriptor, name = tempfile.mkstemp(".toml", ".monitor-init-", path.parent)
            beside = Path(name)
            with os.fdopen(descriptor, "wb") as file:
                file.write(content)
                os.fchmod(file.fileno(), stat.S_IMODE(mode.st_mode))
                with suppress(PermissionError):
                    os.fchown(file.fileno(), mode.st_uid, mode.st_gid)
                file.flush()
                os.fsync(file.fileno())
            settings = load(_reading(beside), without_secrets=True)
            if path.read_bytes() != self.content:
                stop(f"{self.path} was changed meanwhile: nothing was written. Start again", FAILED)
            beside.replace(path)
        except ConfigErrors as fault:
            _invalid(fault, "Each target needs a section of its own: [targets.NAME]")
        except OSError as error:
            stop(
                f"{self.path} cannot be written: {error.strerror}. It is unchanged (a new file is "
                "written beside it first)",
                BAD_INPUT,
            )
        finally:
            if beside is not None:
                beside.unlink(missing_ok=True)
        return settings

    def _appended(self, draft: ConfigDraft) -> bytes:
        """The section, with the line ends of the file."""
        known = self.settings.file.prices
        text = f"\n{draft.section(without_prices=known)}"
        if self.content and not self.content.endswith(b"\n"):
            text = f"\n{text}"
        if b"\r\n" in self.content:
            text = text.replace("\n", "\r\n")
        return text.encode()


def _reading(path: Path) -> Mapping[str, str]:
    """The environment with this file as its configuration."""
    variables = {name: text for name, text in os.environ.items() if name != WHOLE_TEXT}
    return {**variables, "MONITOR_CONFIG": str(path)}


def _invalid(fault: ConfigErrors, remedy: str = "") -> NoReturn:
    listed = "\n".join(f"  {item}" for item in fault.faults)
    said = f"the configuration would not be valid; nothing was written:\n{listed}"
    stop(f"{said}\n{remedy}" if remedy else said, FAILED)
