"""The sentences of the errors that a page can meet, found by reading the source.

A sentence is a template with ``{}`` for each value: ``{} is empty. Copy it again.``
"""

import ast
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
                    if isinstance(node, ast.Return) and isinstance(node.value, (ast.Constant, ast.JoinedStr)):
                        yield from _said(node.value, function, home)
        case ast.Name(id=name):
            own = [(module, node) for node in _own(scope)]
            for home, node in [*own, *_defined(name, module)]:
                match node:
                    case ast.Assign(targets=[ast.Name(id=target)], value=value) if target == name:
                        yield from _said(value, scope, home)


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
_ERRORS = {name for name, value in vars(img2prompt.errors).items() if isinstance(value, type)}
_ERRORS |= {  # and what is derived from them elsewhere
    node.name
    for tree in _MODULES.values()
    for node in ast.walk(tree)
    if isinstance(node, ast.ClassDef) and any(ast.unparse(base) in _ERRORS for base in node.bases)
}
