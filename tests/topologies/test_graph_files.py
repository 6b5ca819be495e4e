"""Graph files of other programs: foreign attributes are ignored, mixed directions kept, all versions read."""

from __future__ import annotations

from pathlib import Path
from textwrap import dedent

import networkx as nx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from society.core.errors import InputError
from society.scenario import check_scenario
from topologies.graph_files import read_graph
from topologies.library import GraphFile

NODES = "".join(f'<node id="{name}"/>' for name in "abc")
SCENARIO = """
version: 1
name: x
task: {{kind: capitals, limit: 1}}
backends: {{b: {{kind: scripted}}}}
roles: {{r: {{prompt: "{{{{ question }}}} {{% for m in heard %}}{{{{ m.text }}}}{{% endfor %}}"}}}}
agents: {{a: {{}}, b: {{}}, c: {{}}}}
phases: [{{name: p, topology: {{kind: file, path: {path}}}, rounds: 2}}]
"""


def graphml(edges: str, keys: str = "", edgedefault: str = "directed", nodes: str = NODES) -> str:
    """Return a GraphML file with these elements."""
    graph = f'<graph edgedefault="{edgedefault}">{nodes}{edges}</graph>'
    return f'<?xml version="1.0"?><graphml xmlns="http://graphml.graphdrawing.org/xmlns">{keys}{graph}</graphml>'


def gexf(edges: str, default: str = "directed", version: str = "1.3", attributes: str = "") -> str:
    """Return a GEXF file with these elements."""
    nodes = "".join(f'<node id="{number}" label="{name}"/>' for number, name in enumerate("abc"))
    graph = f'<graph defaultedgetype="{default}">{attributes}<nodes>{nodes}</nodes><edges>{edges}</edges></graph>'
    place = "http://gexf.net/1.3" if version == "1.3" else f"http://www.gexf.net/{version}"
    return f'<?xml version="1.0"?><gexf xmlns="{place}" version="{version}">{graph}</gexf>'


def load(folder: Path, name: str, text: str) -> nx.DiGraph[str]:
    (folder / name).write_text(text, encoding="utf-8")
    return GraphFile.model_validate({"path": name}, context={"folders": [folder]}).graph(["a", "b", "c"], {}, 0)


def problems(folder: Path, name: str, text: str) -> list[str]:
    (folder / name).write_text(text, encoding="utf-8")
    (folder / "s.yaml").write_text(dedent(SCENARIO).format(path=name))
    return [f"{problem.level}: {problem.message}" for problem in check_scenario(folder / "s.yaml")]


@pytest.mark.parametrize(
    "attribute", ["interaction", "shared name", "name", "Weight", "description", "selected", "Edge Type", "modularity"]
)
def test_a_foreign_attribute_is_read_with_one_note(tmp_path: Path, attribute: str) -> None:
    """Cytoscape, Gephi and yEd add attributes to each edge; one note names all of them."""
    keys = f'<key id="d0" for="edge" attr.name="{attribute}" attr.type="string"/>'
    edges = "".join(
        f'<edge source="{u}" target="{v}"><data key="d0">{u} to {v}</data></edge>' for u, v in ("ab", "bc", "ca")
    )
    found = problems(tmp_path, "g.graphml", graphml(edges, keys))
    assert found == [f"warning: the file's edges have unknown attributes, which are ignored: {attribute!r}"]
    assert set(load(tmp_path, "g.graphml", graphml(edges, keys)).edges) == {("a", "b"), ("b", "c"), ("c", "a")}


def test_one_note_names_all_foreign_attributes_and_corrects_misspellings(tmp_path: Path) -> None:
    keys = "".join(f'<key id="{k}" for="edge" attr.name="{k}"/>' for k in ("interaction", "shwo"))
    edges = '<edge source="a" target="b"><data key="interaction">x</data></edge>'
    edges += '<edge source="b" target="c"><data key="shwo">answer</data></edge>'
    (tmp_path / "g.graphml").write_text(graphml(edges, keys))
    (tmp_path / "s.yaml").write_text(dedent(SCENARIO).format(path="g.graphml"))
    [note] = check_scenario(tmp_path / "s.yaml")
    assert note.level == "warning"
    assert "'interaction', 'shwo'" in note.message
    assert note.suggestion == "show"


@pytest.mark.parametrize("attribute", ["id", "label", "weight", "key"])
def test_attributes_of_the_format_itself_need_no_note(tmp_path: Path, attribute: str) -> None:
    keys = f'<key id="d0" for="edge" attr.name="{attribute}" attr.type="string"/>'
    edges = '<edge id="e" source="a" target="b"><data key="d0">1</data></edge>'
    assert problems(tmp_path, "g.graphml", graphml(edges, keys)) == []


def test_a_known_attribute_with_a_wrong_value_is_an_error(tmp_path: Path) -> None:
    keys = '<key id="d0" for="edge" attr.name="show" attr.type="string"/>'
    edges = '<edge source="a" target="b"><data key="d0">everything</data></edge>'
    [found] = problems(tmp_path, "g.graphml", graphml(edges, keys))
    assert found.startswith("error: the edge attribute 'show' should not be 'everything'")


def test_types_and_defaults_of_attributes_are_those_of_the_file(tmp_path: Path) -> None:
    keys = (
        '<key id="d0" for="edge" attr.name="show"><default>answer</default></key>'
        '<key id="d1" for="edge" attr.name="window" attr.type="int"/>'
        '<key id="d2" for="edge" attr.name="anonymous" attr.type="boolean"/>'
        '<key id="d3" for="node" attr.name="show"><default>full</default></key>'
    )
    edges = '<edge source="a" target="b"><data key="d1">3</data><data key="d2">true</data></edge>'
    edges += '<edge source="b" target="c"><data key="d0">full</data></edge>'
    graph = load(tmp_path, "g.graphml", graphml(edges, keys))
    assert graph.edges["a", "b"] == {"show": "answer", "window": 3, "anonymous": True}
    assert graph.edges["b", "c"] == {"show": "full"}
    attributes = (
        '<attributes class="edge"><attribute id="0" title="window" type="integer"><default>2</default></attribute>'
        '<attribute id="1" title="show" type="string"/></attributes>'
        '<attributes class="node"><attribute id="1" title="other" type="string"/></attributes>'
    )
    edge = '<edge source="0" target="1"><attvalues><attvalue for="1" value="answer"/></attvalues></edge>'
    graph = load(tmp_path, "g.gexf", gexf(edge, attributes=attributes))
    assert graph.edges["a", "b"] == {"window": 2, "show": "answer"}


@pytest.mark.parametrize("version", ["1.1draft", "1.2draft", "1.3"])
def test_every_version_of_gexf_is_read(tmp_path: Path, version: str) -> None:
    """Also versions that the installed networkx cannot read."""
    graph = load(tmp_path, "g.gexf", gexf('<edge id="0" source="0" target="1"/>', version=version))
    assert set(graph.edges) == {("a", "b")}


@pytest.mark.parametrize(
    ("default", "edges", "expected"),
    [
        ("undirected", "01 10 12", "ab ba bc cb"),
        ("directed", "01 12:undirected", "ab bc cb"),
        ("directed", "01 12:mutual", "ab bc cb"),
        ("undirected", "01:directed 12", "ab bc cb"),
        ("mutual", "01 12:directed", "ab ba bc"),
    ],
)
def test_a_gexf_file_may_mix_directed_and_undirected_edges(
    tmp_path: Path, default: str, edges: str, expected: str
) -> None:
    written = ""
    for edge in edges.split():
        ends, _, way = edge.partition(":")
        written += f'<edge source="{ends[0]}" target="{ends[1]}"' + (f' type="{way}"/>' if way else "/>")
    assert {u + v for u, v in load(tmp_path, "g.gexf", gexf(written, default)).edges} == set(expected.split())


@pytest.mark.parametrize(("default", "expected"), [("directed", "ab bc cb ca"), ("undirected", "ab bc cb ca ac")])
def test_a_graphml_file_may_mix_directed_and_undirected_edges(tmp_path: Path, default: str, expected: str) -> None:
    edges = '<edge source="a" target="b" directed="true"/><edge source="b" target="c" directed="false"/>'
    text = graphml(edges + '<edge source="c" target="a"/>', edgedefault=default)
    assert {u + v for u, v in load(tmp_path, "g.graphml", text).edges} == set(expected.split())


def test_yed_names_nodes_by_labels_and_cytoscape_by_names(tmp_path: Path) -> None:
    keys = '<key id="d6" for="node" yfiles.type="nodegraphics"/><key id="d9" for="edge" yfiles.type="edgegraphics"/>'
    nodes = "".join(
        f'<node id="n{i}"><data key="d6"><y:ShapeNode xmlns:y="http://www.yworks.com/xml/graphml">'
        f'<y:Geometry x="1"/><y:NodeLabel a="b">{name}<y:LabelModel><y:X/></y:LabelModel></y:NodeLabel>'
        "<y:NodeLabel>a second label</y:NodeLabel></y:ShapeNode></data></node>"
        for i, name in enumerate("abc")
    )
    edges = '<edge source="n0" target="n2"><data key="d9"><y:Line xmlns:y="y">text</y:Line></data></edge>'
    assert set(load(tmp_path, "yed.graphml", graphml(edges, keys, nodes=nodes)).edges) == {("a", "c")}
    keys = '<key id="k" for="node" attr.name="name"/><key id="s" for="node" attr.name="shared name"/>'
    nodes = "".join(
        f'<node id="{62 + i}"><data key="s">other {i}</data><data key="k">{name}</data></node>'
        for i, name in enumerate("abc")
    )
    text = graphml('<edge source="62" target="64"/>', keys, nodes=nodes)
    assert set(load(tmp_path, "cytoscape.graphml", text).edges) == {("a", "c")}


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (graphml("<edge source='a' target='d'/>"), "an edge names the node 'd'"),
        (graphml("<edge source='a'/>"), "an edge has no 'target'"),
        (graphml("<node id='a'/>"), "two nodes have the id 'a'"),
        (graphml("<node/>"), "a node has no 'id'"),
        (graphml("</graph><graph>"), "it has several graphs"),
        (graphml("<hyperedge/>"), "it has a hyperedge"),
        ('<graphml xmlns="x"/>', "it has no graph"),
        (
            graphml(
                "<edge source='a' target='b'><data key='k'>x</data></edge>",
                "<key id='k' for='edge' attr.name='window' attr.type='int'/>",
            ),
            "the attribute 'window' is no int: 'x'",
        ),
    ],
)
def test_errors_name_their_line(tmp_path: Path, text: str, says: str) -> None:
    with pytest.raises(InputError, match=rf"{says}.*\(line \d+\)"):
        load(tmp_path, "g.graphml", text)


@given(st.sets(st.tuples(st.integers(0, 6), st.integers(0, 6)).filter(lambda edge: edge[0] != edge[1])), st.booleans())
def test_files_are_read_as_networkx_reads_them(
    tmp_path_factory: pytest.TempPathFactory, edges: set[tuple[int, int]], directed: bool
) -> None:
    drawn: nx.Graph[int] = nx.DiGraph() if directed else nx.Graph()
    drawn.add_nodes_from(range(7))
    drawn.add_edges_from(edges, window=2)
    folder = tmp_path_factory.mktemp("graphs")
    nx.write_graphml(drawn, folder / "g.graphml")
    nx.write_gexf(drawn, folder / "g.gexf")
    expected = {(str(u), str(v)) for u, v in nx.DiGraph(drawn).edges}
    for name in ("g.graphml", "g.gexf"):
        read = read_graph(folder / name, 7)
        assert set(read.edges) == expected
        assert sorted(read.labels) == [str(i) for i in range(7)]
        assert all(attributes["window"] == 2 for attributes in read.edges.values())
