"""A batch on Ray: two models in two processes of this machine."""

import csv
import logging
import os
import re
import sys
import zipfile
from contextlib import closing

import pytest
from threadpoolctl import threadpool_limits

from img2prompt import batch
from img2prompt.batch import Journal, discover
from img2prompt.batch.ray_pool import Threads, Worker, import_ray
from img2prompt.cli.main import main
from img2prompt.errors import ConfigError, WeightsError
from img2prompt.pipeline import Pipeline
from img2prompt.settings import Settings
from tests.helpers.pictures import paint

PICTURES = 14

pytest.importorskip("ray")


@pytest.fixture(scope="module")
def cluster():
    """Two places for models; runs find it and leave it running."""
    ray = import_ray()
    ray.init(
        "local", num_cpus=2, object_store_memory=100 * 2**20, include_dashboard=False, log_to_driver=False
    )
    # Or the first model could be done before the second has been read.
    ray.data.DataContext.get_current().wait_for_min_actors_s = 300
    yield
    ray.shutdown()


@pytest.fixture
def one_core(monkeypatch):
    """One thread for networks, and so one core for each model, but two for BLAS, as Ray would not choose."""
    import torch

    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    with threadpool_limits(2, user_api="blas"):
        yield
    torch.set_num_threads(before)


@pytest.fixture
def folder(tmp_path):
    for i in range(PICTURES):
        paint(tmp_path / "photos" / f"{i:02}.png", i)
    (tmp_path / "photos" / "05.png").write_bytes(b"these bytes are no picture")
    return tmp_path / "photos"


@pytest.fixture
def fast(pipeline):
    """The loaded weights with the narrowest search."""
    return Pipeline(pipeline.engine, pipeline.sentences, pipeline.tables, Settings(engine="lite", beams=1))


def known(journal, items):
    """Everything that is known of the items, vectors as bytes."""
    return [
        {**vars(row), "embedding": None if row.embedding is None else row.embedding.tobytes()}
        for row in journal.rows(items)
    ]


@pytest.mark.slow
def test_two_processes_give_what_one_gives_and_go_on_where_they_were_stopped(
    cluster, one_core, fast, folder, tmp_path, caplog
):
    with zipfile.ZipFile(tmp_path / "photos.zip", "w") as archive:
        for file in folder.iterdir():
            archive.write(file, file.name)
    items = discover(tmp_path / "photos.zip")
    settings = batch.fingerprint(fast)
    with closing(Journal(tmp_path / "here", settings)) as journal:
        whole = [[row.name for row in rows] for rows in batch.work(fast, items, journal, 3)]
        expected = known(journal, items)
    caplog.set_level(logging.DEBUG, logger="img2prompt.batch.ray_pool")
    with closing(Journal(tmp_path / "there", settings)) as journal:
        run = batch.work_on_ray(fast.settings, items, journal, 3, actors=2)
        groups = [[row.name for row in next(run)] for _ in range(2)]
        run.close()
        assert 0 < len(journal.missing(items)) < PICTURES
        run = batch.work_on_ray(fast.settings, items, journal, 3, actors=2)
        groups += [[row.name for row in rows] for rows in run]
        assert sorted(groups) == whole
        assert list(batch.work_on_ray(fast.settings, items, journal, 3)) == []
        assert known(journal, items) == expected
    assert sum(bool(row["error"]) for row in expected) == 1
    second_run = [record.args for record in caplog.records][2:]
    processes = {process for _, process, _ in second_run}
    assert len(processes) == 2 and os.getpid() not in processes


@pytest.mark.slow
def test_the_command_writes_the_same_file_from_a_store(
    cluster, one_core, fast, folder, tmp_path, monkeypatch, capsys
):
    monkeypatch.setattr("img2prompt.pipeline.load_pipeline", lambda _: fast)
    here, there = tmp_path / "here.csv", tmp_path / "there.csv"
    for source, output, pool in (
        (str(folder), here, []),
        (folder.as_uri(), there, ["--engine-pool", "ray", "--actors", "2"]),
    ):
        arguments = ["batch", source, "-o", str(output), "--format", "submission", "--batch-size", "4", *pool]
        with pytest.raises(SystemExit) as left:
            main(arguments)
        assert left.value.code == 3
        assert f"{PICTURES - 1} of {PICTURES} pictures described" in capsys.readouterr().err
    assert there.read_bytes() == here.read_bytes()
    with open(there, newline="") as file:
        assert len(list(csv.reader(file))) == 1 + 384 * PICTURES


@pytest.mark.slow
def test_what_is_wrong_on_a_node_is_told_here(cluster, one_core, fast, folder, tmp_path):
    items = discover(folder)
    with closing(Journal(tmp_path / "j", "those of another version")) as journal:
        with pytest.raises(ConfigError, match="would give other results.*Install the same on both"):
            list(batch.work_on_ray(fast.settings, items, journal, 4, actors=1))
        with pytest.raises(WeightsError, match="full engine"):
            list(batch.work_on_ray(Settings(engine="full"), items, journal, 4, actors=1))
        assert len(journal.missing(items)) == PICTURES


def test_a_model_computes_with_the_threads_of_the_machine_that_asks(one_core, monkeypatch):
    """Embeddings of some photos differ in their last bits with the threads of BLAS alone."""
    here = Threads.here()
    with threadpool_limits(1, user_api="blas"):
        assert Threads.here() != here
        monkeypatch.setenv("OMP_NUM_THREADS", "2")  # as Ray sets it for an actor of two cores
        Worker(Settings(engine="full"), "any", here, workers=1)  # its weights do not matter
        assert Threads.here() == here


@pytest.mark.slow
def test_a_model_that_has_room_on_no_node_is_not_waited_for(
    cluster, one_core, fast, folder, tmp_path, monkeypatch
):
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    with (
        closing(Journal(tmp_path / "j", batch.fingerprint(fast))) as journal,
        pytest.raises(ConfigError, match="No machine of the cluster has 3 cores"),
    ):
        list(batch.work_on_ray(fast.settings, discover(folder), journal, 4))


def test_without_ray_the_command_says_what_to_install(folder, tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(SystemExit) as left:
        main(["batch", str(folder), "-o", str(tmp_path / "out.csv"), "--engine-pool", "ray"])
    assert left.value.code == 2
    assert re.search(r'-m pip install "ray\[data\]\S+" "?fsspec', capsys.readouterr().err)
    assert [path.name for path in tmp_path.iterdir()] == ["photos"]
