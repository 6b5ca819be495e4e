"""One plugin of each kind, in fewer than 40 lines."""
from typing import Literal

import networkx as nx

from backends.base import Backend, BackendConfig
from society.answers.format import AnswerFormat
from society.components.controllers import Controller
from society.components.decisions.base import DecisionRule, tally
from society.components.stops import StopRule
from society.tasks.base import Task
from society.core.types import GenerateOutput, Item
from topologies.base import Topology

class Parrot(BackendConfig):
    kind: Literal["parrot"] = "parrot"
    def open(self): return Bird()
class Bird(Backend):
    model_hash = "parrot"
    async def generate(self, request): return GenerateOutput(request.messages[-1].content)
class Mirror(Topology):
    kind: Literal["mirror"] = "mirror"
    def build(self, n, seed): return nx.DiGraph([(i, n - 1 - i) for i in range(n) if i != n - 1 - i])
class Doubles(Task):
    kind: Literal["doubles"] = "doubles"
    standard = AnswerFormat(extract=("last_number",), equal="numeric")
    def questions(self, seed): return [Item(str(i), f"Twice {i} is {2 * i}", str(2 * i)) for i in range(9)]
class Loudest(DecisionRule):
    kind: Literal["loudest"] = "loudest"
    def count(self, ballot): return self.winner(tally(ballot), len(ballot.votes), ballot.seed)
class Silence(StopRule):
    kind: Literal["silence"] = "silence"
    def reached(self, state): return len(state.rounds) == 2
class Fade(Controller):
    kind: Literal["fade"] = "fade"
    async def next_graph(self, graph, context): return graph if context.round == 1 else nx.create_empty_copy(graph)
