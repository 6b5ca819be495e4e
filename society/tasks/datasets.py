"""Named data sets: where each one is, and how its rows are read.

A data set has one layout for its form on the Hugging Face hub and others for the files of its authors. The first layout
whose fields a file has is used. To add a data set, add an entry, and a test with rows in its real layout.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from society.answers.extract import Regex
from society.answers.format import AnswerFormat
from society.tasks.data_files import ALL
from society.tasks.layout import Layout
from society.tasks.readers import Shape

CHOICE = AnswerFormat(extract=("choice", "boxed", "candidates"), equal="choice")
NUMBER = AnswerFormat(extract=("boxed", "hash", "last_number"), equal="numeric")
FORMULA = AnswerFormat(extract=("boxed", "hash", "line"), equal="math")
SHORT = AnswerFormat(extract=("boxed", "tag", "hash", "line"), equal="exact")
STEM_AND_CHOICES = (
    Layout(
        question="question.stem", choices="question.choices.text", labels="question.choices.label", gold="answerKey"
    ),
    Layout(choices="choices.text", labels="choices.label", gold="answerKey"),
)
"""Layouts of ARC's authors, and of the same rows on the hub. CommonsenseQA has them, too."""
CALC = Layout(question="question", gold="result", hide=("chain", "result_float", "equation", "expression"))
"""Layout of the word problems of Calc-X (Kadlcik et al. 2023, arXiv 2305.15017)."""
EXAM = ("question", "A", "B", "C", "D", "answer")
"""Columns of the files of MMLU's authors, which have no header line."""


_REVISED = ("Explanation", "Correct Answer", *(f"Incorrect Answer {n}" for n in (1, 2, 3)))
_REVIEWS = ("Feedback", "Explanation", "Validator Revision Suggestion", "Post hoc agreement", "Probability Correct")
_TELLING = (
    "Explanation",
    "Revision Comments (from Question Writer)",
    *(f"{text} {field}" for text in ("Pre-Revision", "Extra Revised") for field in _REVISED),
    *(f"{review}_{reader}_{n}" for review in _REVIEWS for reader in ("EV", "NEV") for n in (1, 2, 3)),
)
"""Columns of GPQA that give the true answer away: revisions, explanations and reviews."""


@dataclass(frozen=True)
class Named:
    """A named data set. `config` and `split` are the defaults on the hub and in a folder.

    `licence` is the one that its authors name in their repository or on the hub; "" if they name none.
    """

    about: str
    source: str
    hub: str
    layouts: tuple[Layout, ...]
    answer: AnswerFormat
    split: str
    config: str | None = None
    shapes: tuple[Shape, ...] = (Shape(),)
    licence: str = ""


DATASETS: Mapping[str, Named] = {
    "aime": Named(
        "AIME 2024: competition mathematics, answers from 0 to 999",
        "https://maa.org",
        "HuggingFaceH4/aime_2024",
        (
            Layout(question="problem", gold="answer", hide=("solution",)),
            Layout(question="Problem", gold="Answer", hide=("Solution",)),
            Layout(question="question", gold="answer"),
        ),
        NUMBER,
        split="train",
    ),
    "arc": Named(
        "ARC: science questions of schools; `config` ARC-Challenge or ARC-Easy",
        "Clark et al. (2018), arXiv 1803.05457",
        "allenai/ai2_arc",
        STEM_AND_CHOICES,
        CHOICE,
        split="test",
        config="ARC-Challenge",
        licence="CC-BY-SA-4.0",
    ),
    "asdiv": Named(
        "ASDiv: word problems of elementary schools",
        "Miao et al. (2020), ACL",
        "EleutherAI/asdiv",
        (
            Layout(
                question="{body} {question}",
                gold_extract=(Regex(regex=r"^\s*([^(]*[^(\s])"),),
                hide=("formula",),
            ),
            CALC,
        ),
        NUMBER,
        split="validation",
        licence="CC-BY-NC-4.0",
    ),
    "bbh": Named(
        "BIG-Bench Hard: 27 tasks, each a `config` such as boolean_expressions",
        "Suzgun et al. (2023), arXiv 2210.09261",
        "lukaemon/bbh",
        (Layout(question="input", gold="target"),),
        SHORT,
        split="test",
        config=ALL,
        shapes=(Shape(), Shape(rows="examples")),
        licence="MIT",
    ),
    "commonsense_qa": Named(
        "CommonsenseQA: five options",
        "Talmor et al. (2019), arXiv 1811.00937",
        "tau/commonsense_qa",
        STEM_AND_CHOICES,
        CHOICE,
        split="validation",
        licence="MIT",
    ),
    "gpqa": Named(
        "GPQA: graduate science; `config` gpqa_diamond, gpqa_main or gpqa_extended",
        "Rein et al. (2023), arXiv 2311.12022",
        "Idavidrein/gpqa",
        (
            Layout(
                question="Question",
                gold="Correct Answer",
                choices=("Correct Answer", "Incorrect Answer 1", "Incorrect Answer 2", "Incorrect Answer 3"),
                hide=_TELLING,
            ),
        ),
        CHOICE,
        split="train",
        config="gpqa_diamond",
        licence="CC-BY-4.0",
    ),
    "gsm8k": Named(
        "GSM8K: word problems of grade schools",
        "Cobbe et al. (2021), arXiv 2110.14168",
        "openai/gsm8k",
        (Layout(gold_extract=("hash",)),),
        NUMBER,
        split="test",
        config="main",
        licence="MIT",
    ),
    "hellaswag": Named(
        "HellaSwag: the most plausible continuation of a text",
        "Zellers et al. (2019), arXiv 1905.07830",
        "Rowan/hellaswag",
        (
            Layout(
                question="Which ending continues the text best?\n{ctx}\n{choices}",
                choices="endings",
                gold="label",
                gold_as="index0",
            ),
        ),
        CHOICE,
        split="validation",
        licence="MIT",
    ),
    "math": Named(
        "MATH: competition mathematics; `config` algebra, geometry, ...",
        "Hendrycks et al. (2021), arXiv 2103.03874",
        "EleutherAI/hendrycks_math",
        (Layout(question="problem", gold="solution", gold_extract=("boxed",)),),
        FORMULA,
        split="test",
        config=ALL,
        shapes=(Shape(single=True),),
        licence="MIT",
    ),
    "math500": Named(
        "MATH-500: 500 questions of MATH",
        "Lightman et al. (2023), arXiv 2305.20050",
        "HuggingFaceH4/MATH-500",
        (Layout(question="problem", gold="answer", hide=("solution",)),),
        FORMULA,
        split="test",
        licence="MIT",
    ),
    "mawps": Named(
        "MAWPS: word problems; `config` is a folder or a part of its authors, such as addsub",
        "Koncel-Kedziorski et al. (2016), NAACL",
        "MU-NLPC/Calc-mawps",
        (
            Layout(question="input", gold="target"),
            Layout(question="sQuestion", gold="lSolutions", hide=("lEquations",)),
            CALC,
        ),
        NUMBER,
        split="test",
        config="data",
    ),
    "mmlu": Named(
        "MMLU: exams in 57 subjects; `config` all or a subject",
        "Hendrycks et al. (2021), arXiv 2009.03300",
        "cais/mmlu",
        (
            Layout(choices="choices", gold="answer", gold_as="index0"),
            Layout(choices=("A", "B", "C", "D"), gold="answer", gold_as="letter"),
        ),
        CHOICE,
        split="test",
        config="all",
        shapes=(Shape(), Shape(columns=EXAM)),
        licence="MIT",
    ),
    "mmlu_pro": Named(
        "MMLU-Pro: exams with up to ten options",
        "Wang et al. (2024), arXiv 2406.01574",
        "TIGER-Lab/MMLU-Pro",
        (
            Layout(
                choices="options",
                gold="answer",
                gold_as="letter",
                id="question_id",
                hide=("answer_index", "cot_content"),
            ),
        ),
        CHOICE,
        split="test",
        licence="MIT",
    ),
    "strategy_qa": Named(
        "StrategyQA: yes or no by several steps",
        "Geva et al. (2021), arXiv 2101.02235",
        "ChilleD/StrategyQA",
        (Layout(options=("yes", "no"), gold="answer", gold_as="text", hide=("facts", "decomposition", "evidence")),),
        CHOICE,
        split="test",
        licence="MIT",
    ),
    "svamp": Named(
        "SVAMP: varied word problems",
        "Patel et al. (2021), arXiv 2103.07191",
        "ChilleD/SVAMP",
        (Layout(question="{Body} {Question}", gold="Answer", hide=("Equation",)),),
        NUMBER,
        split="test",
        licence="MIT",
    ),
    "truthful_qa": Named(
        "TruthfulQA, multiple choice with one right option (MC1), at most ten options",
        "Lin et al. (2022), arXiv 2109.07958",
        "truthfulqa/truthful_qa",
        (
            Layout(
                choices="mc1_targets.choices",
                gold="mc1_targets.labels",
                gold_as="flags",
                shuffle_choices=True,
                max_choices=10,
                hide=("mc2_targets",),
            ),
            Layout(
                choices="mc1_targets",
                gold="mc1_targets",
                gold_as="flags",
                shuffle_choices=True,
                max_choices=10,
                hide=("mc0_targets", "mc2_targets"),
            ),
            Layout(choices="choices", gold="label", gold_as="index0"),
        ),
        CHOICE,
        split="validation",
        config="multiple_choice",
        licence="Apache-2.0",
    ),
}
"""All named data sets, by name."""
