"""The deployment: what the image is made of, how it runs, and what its notes say."""

import os
import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version

import pytest
import yaml
from packaging.requirements import Requirement
from playwright.sync_api import sync_playwright
from streamlit import config

from deploy import check
from img2prompt.web.shared.photo import sample_path

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

from img2prompt.web.shared.identity import SECRET_COMMAND
from tests.helpers import ROOT
from tests.helpers.browser import launch

DEPLOY = ROOT / "deploy"
LISTS = re.compile(r"-r (\S+)")  # that pip installs

PATIENCE = 240_000  # milliseconds
NOTES = [*DEPLOY.glob("*.md"), *DEPLOY.glob("*.yaml"), DEPLOY / "Dockerfile", DEPLOY / ".env.example"]

needs_namespaces = pytest.mark.skipif(
    not hasattr(os, "geteuid")
    or os.geteuid() != 0
    or subprocess.run([*check.NAMESPACE, "true"], check=False, capture_output=True).returncode != 0,
    reason="needs root on Linux, with mount namespaces",
)


def unlike_pins() -> list[str]:
    """The libraries of the image that this Python has in another release, or not."""
    lines = (ROOT / "requirements" / "server.txt").read_text("utf-8").splitlines()
    found = []
    for requirement in map(Requirement, [line for line in lines if not line.startswith("#")]):
        if requirement.marker is None or requirement.marker.evaluate():
            try:
                installed = version(requirement.name)
            except PackageNotFoundError:
                installed = ""
            if installed not in requirement.specifier:
                found.append(requirement.name)
    return found


@pytest.fixture(scope="module")
def container() -> Iterator[tuple[subprocess.Popen, str]]:
    """The cpu target's app, and its address; this Python's packages stand in for downloaded ones."""
    with socket.socket() as probe:
        probe.bind(("localhost", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, DEPLOY / "check.py", "cpu", "--quick", "--stay", "--port", str(port)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    said = []
    for line in process.stdout:
        said.append(line)
        if line.startswith("Ready on"):
            break
    else:
        pytest.fail("".join(said[-30:]))
    yield process, f"http://localhost:{port}"
    process.terminate()
    process.wait(60)


@pytest.mark.slow
@needs_namespaces
@pytest.mark.skipif(bool(unlike_pins()), reason=f"not as pinned for the image: {', '.join(unlike_pins())}")
@pytest.mark.browser
def test_run_steps_work_and_the_confined_app_captions_a_photo(container):
    process, address = container
    with sync_playwright() as playwright:
        browser = launch(playwright)
        page = browser.new_page(locale="en-US")
        page.set_default_timeout(PATIENCE)
        page.goto(address)
        page.locator("input[type=file]").first.set_input_files(sample_path("china.jpg"))
        page.get_by_role("button", name="Start Captioning").click()
        caption = page.locator("p.large")
        caption.wait_for()
        assert re.fullmatch(r"[A-Z].+\.", caption.inner_text())
        page.get_by_text("Prompt and labels").click()
        page.get_by_text("Read by the lite engine").wait_for()
        browser.close()
    said, _ = process.communicate(timeout=60)
    print(said)
    assert process.returncode == 0
    assert "The cpu target is fine." in said
    assert 300 < int(re.search(r"Peak memory of the app: (\d+) MiB", said)[1]) < 2000


def test_what_is_copied_is_there_and_whole():
    context, found = check.build_context(ROOT), set()
    for stage in check.read_stages().values():
        for instruction, value in stage.steps:
            if instruction == "COPY" and not value.startswith("--from="):
                found |= {source for source, _ in check.copied(value, context)}
    assert set(context) - found == set(), "in the build context for nothing"
    for folder in ("assets", "img2prompt", "models/lite", "pages"):
        whole = {
            path for path in (ROOT / folder).rglob("*") if path.is_file() and "__pycache__" not in path.parts
        }
        assert {str(path.relative_to(ROOT)) for path in whole} <= found


def test_nothing_private_reaches_the_build(tmp_path):
    private = (
        ".env",
        ".git/config",
        ".streamlit/secrets.toml",
        "deploy/.env",
        "img2prompt/.env",
        "img2prompt/__pycache__/cli.pyc",
        "photos/holiday.jpg",
        "runs/history.db",
        "tests/app/test_batch_page.py",
    )
    for path in (*private, "app.py", ".streamlit/config.toml", "img2prompt/posts/phrasebook/animals.toml"):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).touch()
    shutil.copy(ROOT / ".dockerignore", tmp_path)
    context = check.build_context(tmp_path)
    assert {"app.py", ".streamlit/config.toml", "img2prompt/posts/phrasebook/animals.toml"} <= set(context)
    assert not set(private) & set(context)
    with pytest.raises(FileNotFoundError, match="no tests"):
        check.copied("tests tests", context)


@pytest.mark.parametrize("path", [".streamlit/secrets.toml", "deploy/.env"])
def test_git_keeps_no_secrets(path):
    if shutil.which("git") is None or not (ROOT / ".git").exists():
        pytest.skip("needs the git checkout")
    assert subprocess.run(["git", "check-ignore", "--quiet", path], check=False, cwd=ROOT).returncode == 0


def test_cuda_is_cpu_and_the_full_engine():
    stages = check.read_stages()
    assert list(stages)[-1] == "cpu", "the last stage is what is built by default"
    assert stages["packages-cuda"].base == "packages-cpu"
    assert {file for _, value in stages["packages-cuda"].steps for file in LISTS.findall(value)} == {
        "requirements/full.txt"
    }
    outside = {stage.base for stage in stages.values()} - set(stages)
    assert all(re.fullmatch(r"python:3\.\d+-slim-\w+", base) for base in outside), (
        "a base image without versions"
    )


def test_image_installs_only_what_is_pinned():
    steps = [value for stage in check.read_stages().values() for name, value in stage.steps if name == "RUN"]
    installs = [value for value in steps if "pip install" in value]
    assert len(installs) == 3
    assert all(value.count("pip install --no-deps ") == value.count("pip install") for value in installs)
    assert sorted(file for value in installs for file in LISTS.findall(value)) == [
        "requirements/full.txt",
        "requirements/server.txt",
    ]


def test_compose_file_confines_both_services():
    compose = yaml.safe_load((DEPLOY / "compose.yaml").read_text("utf-8"))
    for service in compose["services"].values():
        assert service["read_only"] is True
        assert service["cap_drop"] == ["ALL"]
        assert service["security_opt"] == ["no-new-privileges:true"]
        assert service["mem_limit"] and service["pids_limit"]
        assert any(place.startswith("/tmp") for place in service["tmpfs"])
        for volume in service["volumes"]:
            assert volume.split(":")[0] in compose["volumes"]
    app, database = compose["services"]["app"], compose["services"]["db"]
    assert app["depends_on"] == {"db": {"condition": "service_healthy"}}
    assert "pg_isready" in database["healthcheck"]["test"]
    assert all(port.startswith("127.0.0.1:") for port in app["ports"]) and "ports" not in database
    assert all(compose["networks"][name]["internal"] for name in database["networks"])
    build = app["build"]
    assert (DEPLOY / build["context"] / build["dockerfile"]).is_file()
    assert build["target"] in check.read_stages()


@pytest.mark.parametrize("name", ["cuda", "sign-in"])
def test_additions_to_the_compose_file_change_the_app_only(name):
    addition = yaml.safe_load((DEPLOY / f"compose.{name}.yaml").read_text("utf-8"))
    assert list(addition) == ["services"] and list(addition["services"]) == ["app"]
    app = addition["services"]["app"]
    if name == "cuda":
        assert app["build"]["target"] in check.read_stages()
    else:
        assert all(volume["read_only"] for volume in app["volumes"])


def test_compose_asks_for_a_password_and_explains_its_variables():
    example = (DEPLOY / ".env.example").read_text("utf-8")
    assert re.search(r"^POSTGRES_PASSWORD=$", example, re.MULTILINE)
    for file in DEPLOY.glob("compose*.yaml"):
        text = file.read_text("utf-8")
        assert text.count("${POSTGRES_PASSWORD") == text.count("${POSTGRES_PASSWORD:?")
        for variable in re.findall(r"\$\{(\w+)", text):
            assert re.search(rf"^{variable}=", example, re.MULTILINE), variable


def test_an_upload_fits_through_everything():
    settings = tomllib.loads((ROOT / ".streamlit" / "config.toml").read_text("utf-8"))
    largest = settings["server"]["maxUploadSize"]
    notes = (DEPLOY / "README.md").read_text("utf-8")
    assert int(re.search(r"client_max_body_size (\d+)m;", notes)[1]) > largest
    app = yaml.safe_load((DEPLOY / "compose.yaml").read_text("utf-8"))["services"]["app"]
    assert int(re.search(r"size=(\d+)m", app["tmpfs"][0])[1]) > largest


def test_proxies_refuse_and_frame_no_foreign_page():
    fenced = (DEPLOY / "README.md").read_text("utf-8").split("```")[1::2]
    examples = [text for text in fenced if "reverse_proxy" in text or "proxy_pass" in text]
    assert len(examples) == 2
    for text in examples:
        assert re.search(r"https://captions\.example\.org( 0;|\n)", text) and " 403" in text
        assert "Content-Security-Policy \"frame-ancestors 'self'\"" in text
        assert "Strict-Transport-Security max-age=" in text and "X-Content-Type-Options nosniff" in text


def test_example_of_sign_in_has_what_streamlit_asks_for():
    text = (ROOT / ".streamlit" / "secrets.toml.example").read_text("utf-8")
    auth = tomllib.loads(text)["auth"]
    assert set(auth) == {"redirect_uri", "client_id", "client_secret", "server_metadata_url"}
    assert auth["redirect_uri"].endswith("/oauth2callback")
    assert not any(auth[name] for name in ("client_id", "client_secret"))
    # None at all rather than an empty one: each server must make its own.
    assert "cookie_secret" in text and SECRET_COMMAND in text


def test_notes_name_only_options_of_streamlit():
    options = {
        re.sub(r"(?<!^)(?=[A-Z])", "_", name.replace(".", "_")).upper()
        for name in config.get_config_options()
    }
    for file in NOTES:
        for name in re.findall(r"STREAMLIT_([A-Z_]+[A-Z])", file.read_text("utf-8")):
            assert name in options, f"{file.name}: STREAMLIT_{name}"


def test_notes_name_only_variables_of_ours():
    from img2prompt.settings import Settings

    known = {f"IMG2PROMPT_{name.upper()}" for name in Settings.__dataclass_fields__}
    for file in (ROOT / "img2prompt").rglob("*.py"):
        known |= set(re.findall(r"IMG2PROMPT_[A-Z_]+[A-Z]", file.read_text("utf-8")))
    for file in NOTES:
        assert set(re.findall(r"IMG2PROMPT_[A-Z_]+[A-Z]", file.read_text("utf-8"))) <= known, file.name
