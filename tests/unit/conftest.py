"""What several of these tests need: commands that run here, and databases."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path

import platformdirs
import pytest
from sqlalchemy import Engine, create_engine, text

from img2prompt.cli.main import main
from img2prompt.history import open_database
from img2prompt.pipeline import Pipeline
from tests.helpers.history_database import postgres_server
from tests.helpers.hub import BLIP_TEXT, BLIP_VISION, CLIP


@pytest.fixture
def run_command(pipeline, monkeypatch, capsys):
    """Run a command on the loaded weights: (exit code, stdout, stderr)."""

    def load_pipeline(settings):
        return Pipeline(pipeline.engine, pipeline.sentences, pipeline.tables, settings)

    monkeypatch.setattr("img2prompt.pipeline.load_pipeline", load_pipeline)

    def run(*arguments):
        with pytest.raises(SystemExit) as left:
            main([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        assert "Traceback" not in captured.err
        return left.value.code, captured.out, captured.err

    return run


@pytest.fixture
def run(run_command):
    """`run_command`, under a name that a module may give to another way."""
    return run_command


@pytest.fixture
def quick_run(run_command, monkeypatch):
    """As `run_command`, with the narrowest search and without stdout: (exit code, stderr)."""
    monkeypatch.setenv("IMG2PROMPT_BEAMS", "1")

    def quick_run(*arguments):
        code, _, err = run_command(*arguments)
        return code, err

    return quick_run


@pytest.fixture
def own_data(tmp_path, monkeypatch) -> Path:
    """An empty folder for the user's data, where the program looks for it."""
    for variable in ("XDG_DATA_HOME", "HOME"):
        monkeypatch.setenv(variable, str(tmp_path))
    folder = platformdirs.user_data_path("img2prompt", appauthor=False)
    assert folder.is_relative_to(tmp_path)
    return folder


@pytest.fixture
def broken(tmp_path):
    path = tmp_path / "broken.jpg"
    path.write_text("these bytes are no picture")
    return path


@pytest.fixture(scope="package", params=["sqlite", "postgresql"])
def server(request: pytest.FixtureRequest) -> Iterator[str]:
    """ "" for SQLite, else the address of a PostgreSQL server."""
    if request.param == "sqlite":
        yield ""
    else:
        with postgres_server() as address:
            yield address


@pytest.fixture
def url(server: str, tmp_path: Path) -> Iterator[str]:
    """An empty database."""
    if not server:
        yield f"sqlite:///{tmp_path / 'new' / 'history.db'}"
        return
    name = f"history_{uuid.uuid4().hex}"
    admin = create_engine(server.replace("postgresql:", "postgresql+psycopg:"), isolation_level="AUTOCOMMIT")
    with admin.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name}"))
    yield admin.url.set(database=name).render_as_string(hide_password=False)
    with admin.connect() as connection:
        connection.execute(text(f"DROP DATABASE {name} WITH (FORCE)"))
    admin.dispose()


@pytest.fixture
def engine(url: str) -> Iterator[Engine]:
    engine = open_database(url)
    yield engine
    engine.dispose()


@pytest.fixture(scope="package")
def blip(tmp_path_factory) -> Path:
    """A folder with a small BLIP."""
    pytest.importorskip("transformers")
    from tests.helpers.fresh_models import save_blip

    folder = tmp_path_factory.mktemp("blip") / "model"
    save_blip(folder, BLIP_VISION, BLIP_TEXT)
    return folder


@pytest.fixture(scope="package")
def clip(tmp_path_factory) -> Path:
    """A folder with a small CLIP."""
    pytest.importorskip("torch")
    from tests.helpers.fresh_models import save_clip

    folder = tmp_path_factory.mktemp("clip") / "model"
    save_clip(folder, CLIP)
    return folder
