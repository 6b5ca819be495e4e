"""How the agents' models see each other's responses: cross-agent likelihood and KL divergence (arXiv 2501.05707).

Every model scores every agent's responses once; the measures are means of these log-probabilities.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from society.core.errors import BackendError, InputError
from society.core.types import ChatMessage, Turn
from society.metrics.diversity import Mean, mean_of

if TYPE_CHECKING:
    from backends.base import Backend

Score = Callable[[Sequence[ChatMessage], str, Sequence[int] | None], Awaitable[tuple[float, int]]]
"""Returns the sum of natural log-probabilities of a reply to these messages under one model, and its number of tokens.
The reply is given as text and, where they are known, as its drawn token ids, which are then what is scored."""
BASE = "base"
"""The name of the model without any adapter, where agents have adapters."""


@dataclass(frozen=True, slots=True)
class Scored:
    """The log-probabilities of one response (sums over its tokens, nats) under each model, and its tokens."""

    speaker: str
    logprobs: Mapping[str, float]
    tokens: int


@dataclass(frozen=True, slots=True)
class CrossLikelihood:
    """`nll[i][j]`: mean negative log-likelihood per token (nats) of agent j's responses under model i, each response
    weighing the same. `kl[i][j]`: Monte-Carlo estimate of KL(i || j) in nats per response, from agent i's responses,
    with its standard error; j may be "base". It can come out below 0 by chance."""

    nll: Mapping[str, Mapping[str, Mean]]
    kl: Mapping[str, Mapping[str, Mean]]


async def score_responses(turns: Sequence[Turn], models: Mapping[str, Score]) -> list[Scored]:
    """Score every turn's drawn tokens, as the reply to what its agent was given, under every model.

    The models must share a vocabulary with those that spoke. The text of a turn without token ids is tokenized, and
    the end of the turn is scored after it. Models are asked together: batching is the backend's work. Failed turns are
    left out. Raises `BackendError` where two models split a response into different numbers of tokens.
    """
    import asyncio

    spoken = [turn for turn in turns if turn.status == "ok"]
    asked = [[score(turn.messages, turn.text, turn.tokens) for score in models.values()] for turn in spoken]
    answers = await asyncio.gather(*(asyncio.gather(*row) for row in asked))
    return [_scored(turn, dict(zip(models, row, strict=True))) for turn, row in zip(spoken, answers, strict=True)]


def _scored(turn: Turn, found: Mapping[str, tuple[float, int]]) -> Scored:
    lengths = {tokens for _, tokens in found.values()}
    if len(lengths) > 1:
        raise BackendError(
            f"The models of {', '.join(found)} split one response into {sorted(lengths)} tokens.",
            "Compare likelihoods only among agents with the same base model.",
        )
    return Scored(turn.id.agent, {name: logprob for name, (logprob, _) in found.items()}, lengths.pop())


def cross_likelihood(scored: Sequence[Scored]) -> CrossLikelihood:
    """The two measures from scored responses.

    nll(i, j) = mean over responses y of agent j of -log p_i(y | context) / |y|
    KL(i || j) = E_{y ~ p_i} [log p_i(y) - log p_j(y)], estimated by the mean over agent i's responses y.

    The estimate is of the KL divergence itself where responses were drawn from the model as it is (temperature 1, no
    truncation) and none were left out; responses chosen because they match the consensus, as in the paper, give the
    divergence on these.
    """
    speakers = list(dict.fromkeys(response.speaker for response in scored))
    models = list(scored[0].logprobs) if scored else []
    said = {j: [response for response in scored if response.speaker == j and response.tokens] for j in speakers}
    return CrossLikelihood(
        nll={i: {j: mean_of([-r.logprobs[i] / r.tokens for r in said[j]]) for j in speakers} for i in models},
        kl={
            i: {j: mean_of([r.logprobs[i] - r.logprobs[j] for r in said[i]]) for j in models if j != i}
            for i in speakers
        },
    )


def scorer(name: str, backend: Backend, adapter: str | None) -> Score:
    """The model of a backend of this name, with the adapter of this content hash or bare.

    Raises `InputError` where the backend cannot score given text.
    """
    likelihood = backend.likelihood
    if likelihood is None:
        raise InputError(f"The backend {name!r} cannot score given text.", "Use llama_cpp or hf for likelihoods.")

    async def score(
        messages: Sequence[ChatMessage], reply: str, tokens: Sequence[int] | None = None
    ) -> tuple[float, int]:
        return await likelihood.logprob(messages, reply, adapter, tokens)

    return score
