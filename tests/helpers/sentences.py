"""The sentences of the errors that a page can meet, found by reading the source.

A sentence is a template with ``{}`` for each value: ``{} is empty. Copy it again.``
"""

import ast
from collections import defaultdict
from collections.abc import Iterator

import img2prompt.errors
from tests.helpers import ROOT

FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)


def sentences() -> dict[str, str]:
    """Sentence → the place of an error that says it, in the modules that the pages import."""
    found: dict[str, str] = {}
    for name in _imported():
        for scope in ast.walk(_MODULES[name]):
            if isinstance(scope, (ast.Module, *FUNCTIONS)):
                for node in _own(scope):
                    if isinstance(node, ast.Call) and node.args and _is_error(node.func):
                        for said in _said(node.args[0], scope, name):
                            found.setdefault(said, f"{name}, line {node.lineno}")
    return found


def strings() -> set[str]:
    """All texts in the package, as templates."""
    return {
        _template(node)
        for tree in _MODULES.values()
        for node in ast.walk(tree)
        if isinstance(node, ast.JoinedStr) or (isinstance(node, ast.Constant) and isinstance(node.value, str))
    }


def _imported() -> list[str]:
    """The modules that the pages import, at once or when they need them."""
    waiting = [name for name in _MODULES if name.startswith(("app", "pages.", "img2prompt.web"))]
    known: dict[str, None] = {}
    while waiting:
        name = waiting.pop()
        if name in known or name not in _MODULES:
            continue
        known[name] = None
        for node in ast.walk(_MODULES[name]):
            match node:
                case ast.Import(names=aliases):
                    waiting += [alias.name for alias in aliases]
                case ast.ImportFrom(module=str(home), names=aliases):
                    waiting += [home, *(f"{home}.{alias.name}" for alias in aliases)]
                case ast.JoinedStr(values=[ast.Constant(value=str(start)), *_]) if "img2prompt." in start:
                    # import_module(f"img2prompt.engines.{name}"): any of them
                    waiting += [other for other in _MODULES if other.startswith(start)]
    return list(known)


def _own(scope: ast.AST) -> Iterator[ast.AST]:
    """What is in a module or function, without the functions inside it."""
    for child in ast.iter_child_nodes(scope):
        if not isinstance(child, FUNCTIONS):
            yield child
            yield from _own(child)


def _is_error(function: ast.expr) -> bool:
    return isinstance(function, ast.Name) and function.id in _ERRORS


def _said(text: ast.expr, scope: ast.AST, module: str) -> Iterator[str]:
    """The sentences that an expression can be, and those that can stand in it."""
    match text:
        case ast.Constant(value=str(value)):
            yield value
        case ast.JoinedStr(values=parts):
            yield _template(text)
            for part in parts:
                if isinstance(part, ast.FormattedValue):
                    yield from (said for said in _said(part.value, scope, module) if " " in said)
        case ast.IfExp(body=one, orelse=other):
            yield from _said(one, scope, module)
            yield from _said(other, scope, module)
        case ast.BoolOp(values=several) | ast.List(elts=several):
            for one in several:
                yield from _said(one, scope, module)
        case ast.Call(func=ast.Attribute(value=ast.Constant(), attr="join"), args=[joined]):
            yield from _said(joined, scope, module)
        case ast.Call(func=ast.Name(id=name)):
            for home, function in _defined(name, module):
                for node in _own(function):
                    if isinstance(node, ast.Return) and node.value:
                        yield from _said(node.value, function, home)
        case ast.Name(id=name):
            own = [(module, node) for node in _own(scope)]
            for home, node in [*own, *_defined(name, module)]:
                match node:
                    case ast.Assign(targets=[ast.Name(id=target)], value=value) if target == name:
                        yield from _said(value, scope, home)
            if isinstance(scope, FUNCTIONS):
                for value in _given(name, scope):
                    yield from _said(value, scope, module)


def _given(parameter: str, function: ast.FunctionDef | ast.AsyncFunctionDef) -> Iterator[ast.expr]:
    """The texts that a parameter of a function is by default, and in its calls by name."""
    takes = function.args
    names = [argument.arg for argument in takes.args + takes.kwonlyargs]
    if parameter not in names:
        return
    place = names.index(parameter)
    needed = len(takes.args) - len(takes.defaults)
    values = [*[None] * needed, *takes.defaults, *takes.kw_defaults][place : place + 1]
    for module, call in _CALLS.get(function.name, ()):
        if any(defined is function for _, defined in _defined(function.name, module)):
            values += call.args[place : place + 1]
            values += [keyword.value for keyword in call.keywords if keyword.arg == parameter]
    yield from (value for value in values if isinstance(value, (ast.Constant, ast.JoinedStr)))


def _template(text: ast.Constant | ast.JoinedStr) -> str:
    parts = text.values if isinstance(text, ast.JoinedStr) else [text]
    return "".join(str(part.value) if isinstance(part, ast.Constant) else "{}" for part in parts)


def _defined(name: str, module: str) -> Iterator[tuple[str, ast.AST]]:
    """The function or constant that a name stands for in a module, and its own module."""
    for node in _MODULES[module].body if module in _MODULES else ():
        match node:
            case ast.FunctionDef(name=defined) | ast.Assign(targets=[ast.Name(id=defined)]) if (
                defined == name
            ):
                yield module, node
            case ast.ImportFrom(module=str(home), names=aliases) if name in [a.name for a in aliases]:
                yield from _defined(name, home)


def _read() -> dict[str, ast.Module]:
    files = [ROOT / "app.py", *(ROOT / "pages").glob("*.py"), *(ROOT / "img2prompt").rglob("*.py")]
    names = [".".join(file.relative_to(ROOT).with_suffix("").parts) for file in files]
    return {
        name.removesuffix(".__init__"): ast.parse(file.read_text("utf-8"))
        for name, file in zip(names, files, strict=True)
    }


_MODULES = _read()
_CALLS: dict[str, list[tuple[str, ast.Call]]] = defaultdict(list)  # by the name that is called
for _module, _tree in _MODULES.items():
    for _node in ast.walk(_tree):
        if isinstance(_node, ast.Call) and isinstance(_node.func, ast.Name):
            _CALLS[_node.func.id].append((_module, _node))
_ERRORS = {name for name, value in vars(img2prompt.errors).items() if isinstance(value, type)}
_ERRORS |= {  # and what is derived from them elsewhere
    node.name
    for tree in _MODULES.values()
    for node in ast.walk(tree)
    if isinstance(node, ast.ClassDef) and any(ast.unparse(base) in _ERRORS for base in node.bases)
}
