"""Regular expressions for cues, the words that announce an answer, in several languages.

English cues allow words between noun and verb: "the correct answer to this question would therefore be B". In other
languages, a cue is followed by a colon, a dash or a linking verb: "Antwort: B", "答案是 B".
"""

from __future__ import annotations

_BE = (
    r"(?:is|are|was|were|becomes|remains|equals|(?:would|should|must|will|has|have|had|can|could|might|may|"
    r"ought|needs?)"
    r"(?:\s+\w{1,12}){0,2}\s+be|(?:seems|appears|turns?\s+out|happens|looks|proves|works?\s+out)(?:\s+to\s+be)?|"
    r"comes?\s+to|be)"
)
_NOUN = (
    r"(?:answers?|ans|option|choice|selection|solution|response|pick|guess|verdict|conclusion|letter|alternative|result|"
    r"vote)"
)
_FILLER = (
    r"(?:(?:therefore|thus|hence|then|clearly|indeed|still|also|simply|(?:most\s+)?likely|probably|definitely|"
    r"actually|now|"
    r"obviously|certainly|again|just|only|exactly|still|option|choice|letter|answer|the|given\s+by|labell?ed|"
    r"number|none\s+other\s+than)\b[\s:,]{1,4}){0,4}"
)
_COLON = r"(?:=>|-{1,2}>?|[:=\u2014\u2013\u2192\u21d2])"
_ENGLISH = (
    rf"\b{_NOUN}(?:[\s,]{{1,3}}[\w'\u2019()/]{{1,24}}){{0,8}}?[\s,]{{1,3}}{_BE}[\s:,]{{1,6}}{_FILLER}"
    rf"|\b{_NOUN}(?:[ \t]{{1,3}}[\w'\u2019()/]{{1,24}}){{0,5}}?[ \t]{{0,3}}[)\"']?[ \t]{{0,3}}"
    rf"{_COLON}\s{{0,6}}{_FILLER}"
    r"|\b(?:chang|revis|updat|switch)(?:e|es|ed|ing)\b[^.\n:]{0,12}?"
    r"(?:\b(?:answer|choice|vote|response|selection|option)\b[^.\n:]{0,24}?|from\s[A-J]\s)\bto\s{1,3}(?:option\s|choice\s)?|\bans\.\s{1,3}"
    r"|\b(?:answer|ANSWER|ans)\s{1,3}(?=[(\[\"']{0,2}(?-i:[A-J])\b)"
)
_NOUNS_ELSEWHERE = (
    r"Antwort|L[öo]sung|r[ée]ponse|respuesta|risposta|resposta|antwoord|svar(?:et)?|vastaus|odpowied[źz]|odpov[ěe][dď]|"
    r"odgovor|v[áa]lasz|r[ăa]spuns|cevap|yan[\u0131i]t|jawaban|jibu|đ[áa]p\s[áa]n|[ìi]d[áa]h[ùu]n|"
    r"opci[óo]n(?:\s+correcta)?|"
    r"choix|scelta|op[cç][ãa]o|ответ|вариант|відповідь|отговор|одговор|απάντηση|תשובה|"
    r"(?:ال)?إجابة|(?:ال)?جواب|उत्तर|जवाब|উত্তর|பதில்|సమాధానం|คำตอบ|정답|답변|답|答案|答え|答|回答|解答|正解|选项|選項|答复|选择|選擇|结论"
)
_NOT_ELSEWHERE = r"(?:nicht|kein\w*|no|non|ne|n['\u2019]\w+|pas|n[ãa]o|nie|niet|inte|ikke|ei|не|不\w*|并非|並非)"
_BE_ELSEWHERE = (
    r"(?:ist|is|lautet|w[äa]re|est|es|ser[íi]a|è|e'|é|ser[áa]|jest|to|je|är|er|on|este|adalah|ni|l[àa]|это|"
    r"является|είναι|은|는|은\s|는\s|为|為|是|应为|应该是|應該是|應為|は|が|選|选|選擇|选择|है|هي|هو)"
)
_ELSEWHERE = (
    rf"(?:{_NOUNS_ELSEWHERE})(?:\s{{1,2}}(?!{_NOT_ELSEWHERE}\b)[^\W\d]{{1,15}}){{0,3}}?\s{{0,3}}(?:{_BE_ELSEWHERE}\s{{0,3}}[:\uff1a]?|[:\uff1a=\u2014\u2013-]|ঃ)\s{{0,4}}"
    r"(?:(?:选项|選項|Option|option|opci[óo]n|die|la|le|el|the)\s{0,2}){0,2}"
    r"|(?:故|应|應|因此|所以|我|应该|應該)?(?:选择|選擇|选|選)(?:项|項|的是)?\s{0,2}[:\uff1a]?\s{0,2}"
    r"|(?:答案|正解|정답|答え|解答)\]?\s{0,2}"
    rf"|(?:{_NOUNS_ELSEWHERE})[\])]?\s{{1,2}}(?=[(\[\"']{{0,2}}(?-i:[A-J])\b)"
)
CUE = rf"(?:{_ENGLISH}|{_ELSEWHERE})"
"""Matches a cue up to the start of the answer."""

CHOOSES = (
    r"\b(?:choose|chose|choosing|pick|picked|picking|select|selected|selecting|go(?:ing)?\s+(?:with|for)|"
    r"went\s+(?:with|for)|opt(?:ing|ed)?\s+for|"
    r"vot(?:e|ed|ing)\s+(?:for|is)|settl(?:e|ed|ing)\s+(?:on|for)|stick(?:ing)?\s+(?:with|to)|"
    r"stay(?:ing)?\s+with|answer\s+with|prefer|favou?r|"
    r"(?:i['\u2019]?d|i\s+would|i['\u2019]?ll|i\s+will|i)\s+(?:still\s+|now\s+)?(?:say|guess|answer|think|"
    r"believe|conclude|submit)"
    r"(?:\s+(?:that\s+)?it(?:\s+is|['\u2019]s|\s+must\s+be|\s+should\s+be))?|"
    r"(?:leads?|points?)\s+(?:me\s+|us\s+)?to|(?:corresponds?|matches|agrees)\s+(?:to|with)|matches|"
    r"it(?:\s+is|['\u2019]s|\s+must\s+be|\s+has\s+to\s+be|\s+should\s+be|\s+would\s+be)|"
    r"(?:(?:I|we)(?:\s+\w{1,15}){0,4}?\s+(?:get|got|find|found)|(?:obtain|arrive\s+at|end\s+up\s+with)(?:ed|s)?)"
    r"(?=[\s(\[{\"']{1,4}(?-i:[A-J])\b)|"
    r"not\s+(?:option\s+|choice\s+)?[(\[]?[A-J][)\]]?,?\s+but(?:\s+rather|\s+instead)?)"
    r"[\s:,]{1,4}(?:(?:the|answer|option|choice|letter|still|clearly|therefore|definitely|probably|"
    r"to)\b[\s:]{1,3}){0,3}"
)
"""Matches a verb of choosing up to the start of the letter."""

CONCLUDES = (
    r"(?:\b(?:therefore|thus|hence|so|consequently|ergo|finally|conclusion|overall|definitely|clearly|obviously|"
    r"probably|maybe|"
    r"surely|actually|no|yes|ok|okay|sorry|wait|correction)|∴|因此|所以|故)[\s,:\u2014\u2013-]{1,4}"
    r"(?:(?:it|the|must|be|is|it's|i|say|option|choice|only|final|letter)\b\s{1,3}){0,4}"
)
"""Matches a concluding word up to a letter at the end of the sentence."""
