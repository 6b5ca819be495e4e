"""Cross-agent likelihood and KL divergence of the agents' models (arXiv 2501.05707).

Every model scores the responses of all agents once. The measures are means of these log-probabilities.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from society.core.errors import BackendError, InputError
from society.core.exchanges import replies
from society.core.types import Turn
from society.metrics.diversity import Mean, mean_over_questions

if TYPE_CHECKING:
    from backends.base import Backend
    from society.scenario.expand import Society

Score = Callable[[Turn], Awaitable[tuple[float, int]]]
"""Function that scores the text of a turn, as the reply to its chat, under one model: the sum of natural
log-probabilities, and the number of tokens."""
BASE = "base"
"""Name of the model without an adapter, if agents have adapters."""


@dataclass(frozen=True, slots=True)
class Scored:
    """Log-probabilities of one response under each model (sums over its tokens, in nats), and its number of tokens."""

    speaker: str
    logprobs: Mapping[str, float]
    tokens: int
    item: str = ""
    """Id of the question. Responses to one question are not independent; without an id, a response stands alone."""


@dataclass(frozen=True, slots=True)
class CrossLikelihood:
    """Cross-agent likelihood and divergence.

    `nll[i][j]` is the mean negative log-likelihood per token (nats) of agent j's responses under model i, with equal
    weights of questions. `kl[i][j]` is the Monte-Carlo estimate of KL(i || j) in nats per response, from agent i's
    responses, with its standard error; j may be "base". The estimate can be below 0 by chance.
    """

    nll: Mapping[str, Mapping[str, Mean]]
    kl: Mapping[str, Mapping[str, Mean]]


async def score_responses(turns: Sequence[Turn], models: Mapping[str, Score]) -> list[Scored]:
    """Score the drawn tokens of every turn, as the reply to its chat, under every model.

    The models must share the vocabulary of the agents. Of a turn with a thought, the text is scored, given the thought.
    The text of a turn without token ids is tokenized and scored with the end of turn. Requests are concurrent, so that
    the backend batches them. Turns that failed or have no text are omitted. Raises `BackendError` if two models split a
    response into different numbers of tokens.
    """
    import asyncio

    spoken = [turn for turn in turns if turn.is_shown]
    asked = [[score(turn) for score in models.values()] for turn in spoken]
    answers = await asyncio.gather(*(asyncio.gather(*row) for row in asked))
    return [_scored(turn, dict(zip(models, row, strict=True))) for turn, row in zip(spoken, answers, strict=True)]


def _scored(turn: Turn, found: Mapping[str, tuple[float, int]]) -> Scored:
    lengths = {tokens for _, tokens in found.values()}
    if len(lengths) > 1:
        raise BackendError(
            f"The models of {', '.join(found)} split one response into {sorted(lengths)} tokens.",
            "Compare likelihoods only among agents with the same base model.",
        )
    return Scored(turn.id.agent, {name: logprob for name, (logprob, _) in found.items()}, lengths.pop(), turn.id.item)


def cross_likelihood(scored: Sequence[Scored]) -> CrossLikelihood:
    """Return both measures from scored responses.

    nll(i, j) = mean over responses y of agent j of -log p_i(y | context) / |y|
    KL(i || j) = E_{y ~ p_i} [log p_i(y) - log p_j(y)], estimated by the mean over agent i's responses y.

    The estimate is unbiased if all responses were drawn from the model itself (temperature 1, no truncation). For
    responses that match the consensus, as in the paper, it is the divergence on these.
    """
    speakers = list(dict.fromkeys(response.speaker for response in scored))
    models = list(scored[0].logprobs) if scored else []
    said = {j: [response for response in scored if response.speaker == j and response.tokens] for j in speakers}

    def mean(speaker: str, value: Callable[[Scored], float]) -> Mean:
        return mean_over_questions((one.item or place, value(one)) for place, one in enumerate(said[speaker]))

    def nll(i: str, j: str) -> Mean:
        return mean(j, lambda response: -response.logprobs[i] / response.tokens)

    def kl(i: str, j: str) -> Mean:
        return mean(i, lambda response: response.logprobs[i] - response.logprobs[j])

    return CrossLikelihood(
        nll={i: {j: nll(i, j) for j in speakers} for i in models},
        kl={i: {j: kl(i, j) for j in models if j != i} for i in speakers},
    )


def scorer(society: Society, name: str, backend: Backend, adapter: str | None) -> Score:
    """Return the scoring model of a backend, with the adapter of this content hash or without.

    Prompts are rendered with the thinking that the scenario sets for the agent of a turn. Raises `InputError` if the
    backend cannot score given text.
    """
    likelihood = backend.likelihood
    if likelihood is None:
        raise InputError(f"The backend {name!r} cannot score given text.", "Use llama_cpp or hf for likelihoods.")

    async def score(turn: Turn) -> tuple[float, int]:
        plan = society.plans[turn.id.phase, turn.id.agent]
        if any(call.parameter for call in turn.calls):
            raise InputError(
                "Turns with calls in the model's own format cannot be scored.",
                "Set tool_use.format: text, or measure without likelihoods.",
            )
        *_, (chat, reply) = replies(turn)
        thought = reply.usage.thought_tokens
        return await likelihood.logprob(
            chat, reply.text, adapter, reply.tokens, thought, plan.thinking, plan.template_args
        )

    return score
