"""Reading YAML: a file becomes a checked model, or one error that carries every problem with its place."""

import datetime
import difflib
import json
import types
from collections.abc import Mapping, Sequence
from enum import Enum
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin

from annotated_types import Ge, Gt, Le, Lt, MinLen
from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails, PydanticUndefined
from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.scalarfloat import ScalarFloat

from engine.domain.errors import ConfigurationError, Problem

Model = TypeVar("Model", bound=BaseModel)
Location = tuple[int | str, ...]


class Section(BaseModel):
    """Base of everything that is read from a file: unknown keys are refused, values do not change."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, use_enum_values=False)


def load(path: Path, model: type[Model]) -> Model:
    """Read a YAML file into a model.

    Raises
    ------
    ConfigurationError
        When the file is not there, is not YAML, has a key twice, or does not fit the model. All problems
        of the last kind come at once, each with its line and column.
    """
    if not path.is_file():
        raise _only_problem(path, "no such file; give the path of one with --config")
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise _only_problem(path, f"is not UTF-8 text: byte {error.start} cannot be read") from error
    lines = text.splitlines()
    document = _parse(path, text, lines)
    try:
        # Through JSON: there a list may become a tuple and a word an enum, while "180" still is no number.
        return model.model_validate_json(json.dumps(_plain(document)))
    except ValidationError as error:
        places = _Places(document, lines, model)
        raise ConfigurationError(str(path), places.problems(error.errors())) from error


def _only_problem(path: Path, message: str) -> ConfigurationError:
    return ConfigurationError(str(path), [Problem(line=0, column=0, text="", width=0, message=message)])


def _parse(path: Path, text: str, lines: Sequence[str]) -> CommentedMap:
    try:
        document = YAML(typ="rt").load(text)
    except MarkedYAMLError as error:
        raise ConfigurationError(str(path), [_syntax_problem(error, lines)]) from error
    except YAMLError as error:
        raise _only_problem(path, f"is not YAML: {error}") from error
    if document is None:
        raise _only_problem(path, "is empty; it must hold keys and values, such as  seed: 1")
    if not isinstance(document, CommentedMap):
        what = "a list" if isinstance(document, CommentedSeq) else "a single value"
        first = next((n for n, line in enumerate(lines) if line.strip() and not line.startswith("#")), 0)
        message = f"must hold keys and values, such as  seed: 1 ; this is {what}"
        text = lines[first]
        problem = Problem(line=first + 1, column=1, text=text, width=len(text), message=message)
        raise ConfigurationError(str(path), [problem])
    return document


def _syntax_problem(error: MarkedYAMLError, lines: Sequence[str]) -> Problem:
    mark = error.problem_mark or error.context_mark
    line, column = (mark.line, mark.column) if mark is not None else (0, 0)
    said = (error.problem or "cannot be read").strip()
    if said.startswith("found duplicate key"):
        key = said.split('"')[1] if '"' in said else ""
        message = f"{key or 'a key'} stands twice here; keep one of the two"
        width = max(1, len(key))
    elif "\\t" in said:
        message, width = "is indented with a tab; YAML wants spaces", 1
    else:
        message, width = f"is not YAML: {said}", 1
    # A mark behind the last line belongs to the last line that says something.
    if line >= len(lines):
        line = max(0, len(lines) - 1)
        column = len(lines[line]) if lines else 0
    return Problem(
        line=line + 1,
        column=column + 1,
        text=lines[line] if lines else "",
        width=width,
        message=message,
    )


def _plain(value: object) -> Any:
    """Return the document as JSON has it."""
    match value:
        case Mapping():
            return {str(key): _plain(item) for key, item in value.items()}
        case list() | tuple():
            return [_plain(item) for item in value]
        case bool() | None:
            return value
        case ScalarFloat() | float():
            return float(value)
        case int():
            return int(value)
        case datetime.date():
            return value.isoformat()
        case _:
            return str(value)


class _Places:
    """Where in a file each part of its document stands, and what the model wanted there."""

    def __init__(self, document: CommentedMap, lines: Sequence[str], model: type[BaseModel]) -> None:
        self._document = document
        self._lines = lines
        self._model = model

    def problems(self, errors: Sequence[ErrorDetails]) -> list[Problem]:
        """Say every error once, in the order of the file."""
        found: dict[tuple[int, int, str], Problem] = {}
        for error in errors:
            problem = self._problem(error)
            # A value that fits no member of a union is reported once a member; keys that are missing from
            # one section share its place and are all told.
            missing = problem.message if error["type"] == "missing" else ""
            found.setdefault((problem.line, problem.column, missing), problem)
        return [found[key] for key in sorted(found)]

    def _problem(self, error: ErrorDetails) -> Problem:
        location = self._reachable(error["loc"])
        name = ".".join(str(part) for part in location)
        match error["type"]:
            case "extra_forbidden":
                known = _known_keys(_annotation_at(self._model, location[:-1])[0])
                word = str(location[-1])
                return self._at_key(location, f"{name} is not known.{_nearest(word, known)}")
            case "missing":
                annotation, field = _annotation_at(self._model, error["loc"])
                wanted = expectation(annotation, field)
                missing = ".".join(str(part) for part in error["loc"])
                return self._at_key(error["loc"][:-1], f"{missing} is missing: it must be {wanted}")
            case "value_error" | "assertion_error":
                said = error["msg"].split(", ", 1)[-1]
                return self._at_value(location, f"{name}: {said}" if name else said)
            case _:
                annotation, field = _annotation_at(self._model, location)
                message = f"{name} must be {expectation(annotation, field)}"
                word = error["input"]
                choices = _choices(annotation)
                if choices and isinstance(word, str):
                    message += f".{_nearest(word, choices)}"
                return self._at_value(location, message)

    def _reachable(self, location: Location) -> Location:
        """Cut what pydantic appends for members of unions: those parts are not in the file."""
        node: Any = self._document
        for depth, part in enumerate(location):
            if isinstance(node, CommentedMap) and part in {str(key) for key in node}:
                node = next(item for key, item in node.items() if str(key) == part)
            elif isinstance(node, CommentedSeq) and isinstance(part, int) and part < len(node):
                node = node[part]
            else:
                return location[:depth]
        return location

    def _mark(self, location: Location, *, of_key: bool) -> tuple[int, int]:
        node: Any = self._document
        line, column = 0, 0
        for part in location:
            if isinstance(node, CommentedMap):
                key = next(key for key in node if str(key) == part)
                line, column = node.lc.key(key) if of_key else node.lc.value(key)
                node = node[key]
            else:
                line, column = node.lc.item(part)
                node = node[part]
        return line, column

    def _at_key(self, location: Location, message: str) -> Problem:
        if not location:
            return Problem(line=1, column=1, text=self._line(0), width=1, message=message)
        line, column = self._mark(location, of_key=True)
        width = len(str(location[-1])) if isinstance(location[-1], str) else 1
        return Problem(line=line + 1, column=column + 1, text=self._line(line), width=width, message=message)

    def _at_value(self, location: Location, message: str) -> Problem:
        if not location:
            return Problem(line=1, column=1, text=self._line(0), width=1, message=message)
        line, column = self._mark(location, of_key=False)
        key_line, _ = self._mark(location, of_key=True)
        if line > key_line and isinstance(location[-1], str):
            # A block below its key: the key is what a reader looks for.
            return self._at_key(location, message)
        text = self._line(line)
        rest = text[column:]
        comment = rest.find(" #")
        value = (rest if comment < 0 else rest[:comment]).rstrip()
        if isinstance(location[-1], int) and rest[:1] not in "[{'\"":
            value = value.split(",")[0].split("]")[0].rstrip()
        return Problem(line=line + 1, column=column + 1, text=text, width=max(1, len(value)), message=message)

    def _line(self, number: int) -> str:
        return self._lines[number] if number < len(self._lines) else ""


def _annotation_at(model: type[BaseModel], location: Location) -> tuple[Any, FieldInfo | None]:
    """Follow a location through the model's types; the field is the last named one."""
    annotation: Any = model
    field: FieldInfo | None = None
    for part in location:
        annotation = _bare(annotation)
        origin = get_origin(annotation)
        if isinstance(annotation, type) and issubclass(annotation, BaseModel):
            if part not in annotation.model_fields:
                return Any, None
            field = annotation.model_fields[str(part)]
            annotation = field.annotation
        elif origin in (list, tuple, Sequence):
            annotation, field = get_args(annotation)[0], None
        elif origin in (dict, Mapping) or (isinstance(origin, type) and issubclass(origin, Mapping)):
            annotation, field = get_args(annotation)[1], None
        else:
            return annotation, field
    return annotation, field


def _bare(annotation: Any) -> Any:
    """Strip `Annotated` and `| None`."""
    if get_origin(annotation) is Annotated:
        return _bare(get_args(annotation)[0])
    if get_origin(annotation) in (Union, types.UnionType):
        members = [member for member in get_args(annotation) if member is not type(None)]
        if len(members) == 1:
            return _bare(members[0])
    return annotation


def _known_keys(annotation: Any) -> list[str]:
    bare = _bare(annotation)
    if isinstance(bare, type) and issubclass(bare, BaseModel):
        return list(bare.model_fields)
    return []


def _choices(annotation: Any) -> list[str]:
    bare = _bare(annotation)
    if isinstance(bare, type) and issubclass(bare, Enum):
        return [str(member.value) for member in bare]
    if get_origin(bare) is Literal:
        return [str(choice) for choice in get_args(bare)]
    return []


def _nearest(word: str, known: Sequence[str]) -> str:
    near = difflib.get_close_matches(word, known, n=1, cutoff=0.5)
    if near:
        return f" Did you mean  {near[0]} ?"
    return f" Known here: {', '.join(known)}" if known else ""


def expectation(annotation: Any, field: FieldInfo | None) -> str:
    """Say in words what a value must be, with an example where there is one."""
    constraints = list(field.metadata) if field is not None else []
    while get_origin(annotation) is Annotated:
        annotation, *extra = get_args(annotation)
        constraints += [item for entry in extra for item in _constraints(entry)]
    bare = _bare(annotation)
    choices = _choices(bare)
    if choices:
        return f"one of {', '.join(choices)}"
    words = _kind(bare) + _range(constraints)
    example = _example(bare, field)
    return f"{words}, e.g. {example}" if example else words


def _constraints(entry: Any) -> list[Any]:
    return list(entry.metadata) if isinstance(entry, FieldInfo) else [entry]


def _kind(bare: Any) -> str:
    origin = get_origin(bare)
    if origin in (Union, types.UnionType):
        return " or ".join(_kind(_bare(member)) for member in get_args(bare) if member is not type(None))
    if origin in (list, tuple, Sequence):
        item = get_args(bare)[0]
        choices = _choices(item)
        return f"a list of {', '.join(choices)}" if choices else "a list"
    if isinstance(bare, type):
        if issubclass(bare, BaseModel):
            return f"a section with the keys {', '.join(bare.model_fields)}"
        kinds = {bool: "true or false", int: "a whole number", float: "a number", str: "text"}
        if bare in kinds:
            return kinds[bare]
    return "a section" if origin in (dict, Mapping) else "a valid value"


def _range(constraints: Sequence[Any]) -> str:
    low = next((c.ge for c in constraints if isinstance(c, Ge)), None)
    above = next((c.gt for c in constraints if isinstance(c, Gt)), None)
    high = next((c.le for c in constraints if isinstance(c, Le)), None)
    below = next((c.lt for c in constraints if isinstance(c, Lt)), None)
    if any(isinstance(c, MinLen) and c.min_length > 0 for c in constraints):
        return " with at least one entry"
    match (low, above, high, below):
        case (None, None, None, None):
            return ""
        case (_, None, _, None) if low is not None and high is not None:
            return f" from {low} to {high}"
        case _:
            parts = [
                f"at least {low}" if low is not None else "",
                f"above {above}" if above is not None else "",
                f"at most {high}" if high is not None else "",
                f"below {below}" if below is not None else "",
            ]
            return " " + " and ".join(part for part in parts if part)


def _example(bare: Any, field: FieldInfo | None) -> str:
    if field is None or (isinstance(bare, type) and issubclass(bare, BaseModel)):
        return ""
    value: Any = field.examples[0] if field.examples else field.default
    if value is PydanticUndefined or value is None:
        return ""
    if isinstance(value, list | tuple):
        return "[" + ", ".join(str(_plain(v.value if isinstance(v, Enum) else v)) for v in value) + "]"
    return json.dumps(_plain(value)) if not isinstance(value, str) else value
