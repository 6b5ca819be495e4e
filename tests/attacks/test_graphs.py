"""Hostile graph files: one clear error, soon, and with little memory."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from society.core.errors import InputError
from tests.topologies.test_graph_files import gexf, graphml, load
from topologies.graph_files import LARGEST_ELEMENT, LARGEST_FILE, read_graph
from topologies.graph_reader import DEEPEST

LAUGHS = "".join(f'<!ENTITY e{i} "{f"&e{i - 1};" * 10}">' for i in range(1, 10))
LONG = "x" * (LARGEST_ELEMENT + 200_000)


def declare(declaration: str, text: str) -> str:
    """Return the same file with a declaration before its outermost element."""
    return text.replace("?>", f"?>{declaration}", 1)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (declare(f'<!DOCTYPE graphml [<!ENTITY e0 "ha">{LAUGHS}]>', graphml("&e9;")), "document type"),
        (declare(f'<!DOCTYPE graphml [<!ENTITY long "{"x" * 10_000}">]>', graphml("&long;" * 10_000)), "document type"),
        (declare('<!DOCTYPE graphml [<!ENTITY out SYSTEM "file:///etc/passwd">]>', graphml("&out;")), "document type"),
        (declare('<!DOCTYPE graphml SYSTEM "http://evil.example/graphml.dtd">', graphml("")), "document type"),
        (declare('<!DOCTYPE graphml [<!ENTITY % p SYSTEM "file:///etc/passwd"> %p;]>', graphml("")), "document type"),
        (declare('<!DOCTYPE graphml [<!ATTLIST node id CDATA "a">]>', graphml("")), "document type"),
        (graphml("&undefined;"), "undefined entity"),
        (graphml("<a>" * 100_000), f"nested more than {DEEPEST} deep"),
        (graphml(f"<edge source='a' target='{LONG}'/>"), "an element is larger"),
        (graphml("<edge " + "".join(f"a{i}='' " for i in range(200_000)) + "/>"), "an element is larger"),
        (graphml(f"<!--{LONG}-->"), "an element is larger"),
        (graphml(f"<?p {LONG}?>"), "an element is larger"),
        (graphml("<" + "a" * len(LONG)), "an element is larger"),
        (graphml("").replace("?>", " encoding='utf-7'?>", 1), "not valid"),
        (graphml("").replace("?>", " encoding='no-such'?>", 1), "not valid"),
        (graphml("\0"), "not valid"),
        (graphml("<edge source='a' target='b'><edge source='a' target='b'/></edge>"), "holds another edge"),
        ("", "not valid"),
        (" " * 100_000, "not valid"),
        ("<graphml>" * 1000, "nested"),
    ],
)
def test_a_hostile_file_is_one_error(tmp_path: Path, text: str, says: str) -> None:
    with pytest.raises(InputError, match=says) as caught:
        load(tmp_path, "g.graphml", text)
    assert len(str(caught.value)) < 1000


def test_numbers_that_are_no_numbers_are_errors(tmp_path: Path) -> None:
    key = "<key id='k' for='edge' attr.name='window' attr.type='int'/>"
    for value in ("9" * 5000, "NaN", "1e9", "", "٣٣x"):
        with pytest.raises(InputError, match="is no int"):
            load(
                tmp_path, "g.graphml", graphml(f"<edge source='a' target='b'><data key='k'>{value}</data></edge>", key)
            )


def test_a_file_that_is_too_large_is_refused_unread(tmp_path: Path) -> None:
    path = tmp_path / "large.gexf"
    path.write_bytes(b" " * (LARGEST_FILE + 1))
    with pytest.raises(InputError, match="larger than 20,000,000 bytes"):
        read_graph(path, 3)


MEASURE = """
import resource, sys
from pathlib import Path
from society.core.errors import InputError
from topologies.graph_files import read_graph
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
try:
    read_graph(Path(sys.argv[1]), 3)
except InputError as error:
    print(error.cause[:200], file=sys.stderr)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""
FILLERS = {
    "nodes": ("<node id='{}'/>", "graphml"),
    "labelled nodes": ("<node id='{}' label='a label'/>", "gexf"),
    "edges": ("<edge source='a' target='a'/>", "graphml"),
    "strange edges": ("<edge source='{0}' target='x{0}'/>", "graphml"),
    "keys": ("<key id='{0}' attr.name='{0}'/>", "graphml"),
    "text": ("some text ", "graphml"),
}


@pytest.mark.skipif(sys.platform != "linux", reason="kilobytes are meant")
@pytest.mark.parametrize("kind", FILLERS)
def test_the_largest_file_takes_little_memory(tmp_path: Path, kind: str) -> None:
    filler, form = FILLERS[kind]
    parts, size, number = [], 0, 0
    while size < LARGEST_FILE - 10_000:
        part = "".join(filler.format(number + i) for i in range(1000))
        parts.append(part)
        size, number = size + len(part), number + 1000
    path = tmp_path / f"g.{form}"
    path.write_text(graphml("".join(parts)) if form == "graphml" else gexf("".join(parts)))
    done = subprocess.run([sys.executable, "-c", MEASURE, str(path)], capture_output=True, text=True, check=True)
    assert int(done.stdout) < 300_000, done.stderr  # kilobytes; entities of 20 MB took 1,600,000


@given(st.text("<>/&;='\" aegnodphrsuctx!-[]?", max_size=300), st.sampled_from(["g.graphml", "g.gexf"]))
def test_any_text_is_a_graph_or_one_error(tmp_path_factory: pytest.TempPathFactory, text: str, name: str) -> None:
    folder = tmp_path_factory.mktemp("graphs")
    for whole in (text, graphml(text), gexf(text)):
        try:
            load(folder, name, whole)
        except InputError as error:
            assert str(folder) in error.cause or "nodes" in error.cause  # noqa: PT017
