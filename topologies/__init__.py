"""Communication topologies: builders of directed graphs over networkx. `topologies.base` has the base class.

`TOPOLOGIES` maps each built-in kind to "module:Class", so that listing the kinds imports no module.
Part of the distribution `society-of-models`.
"""

from __future__ import annotations

TOPOLOGIES: dict[str, str] = {
    "none": "topologies.simple:Nobody",
    "complete": "topologies.simple:Complete",
    "ring": "topologies.simple:Ring",
    "star": "topologies.simple:Star",
    "chain": "topologies.simple:Chain",
    "tree": "topologies.simple:Tree",
    "grid": "topologies.simple:Grid",
    "bipartite": "topologies.cliques:Bipartite",
    "barbell": "topologies.cliques:Barbell",
    "groups": "topologies.cliques:Groups",
    "k_regular": "topologies.random:KRegular",
    "small_world": "topologies.random:SmallWorld",
    "scale_free": "topologies.random:ScaleFree",
    "erdos_renyi": "topologies.random:ErdosRenyi",
    "layered": "topologies.dags:Layered",
    "dag_mesh": "topologies.dags:DagMesh",
    "dag_random": "topologies.dags:DagRandom",
    "edges": "topologies.explicit:Edges",
    "matrix": "topologies.explicit:Matrix",
    "file": "topologies.library:GraphFile",
    "learned": "topologies.learned:Learned",
    "networkx": "topologies.library:Generated",
}
