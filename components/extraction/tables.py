"""What the engine looks for, as data. Each table can be extended by one line; nothing here decides anything.

Expressions run on lower-cased, cleaned text (text.py): no emphasis marks, plain quotes, colons and brackets.
"""

from __future__ import annotations

# --- Thoughts: (open, close) marks, regular expressions, any case. ---------------------------------------------------
# Names of tags that hold a thought: <name>…</name>, spaces inside the tag allowed.
THOUGHT_TAGS = (
    "think", "thinking", "thought", "thoughts", "reasoning", "reflection", "scratchpad", "seed:think", "antthinking",
    "inner_thoughts", "inner_monologue", "internal_monologue", "chain_of_thought", "cot", "ponder", "analysis",
)  # fmt: skip
THOUGHT_MARKS = (
    (r"\[think\]", r"\[/think\]"),  # Magistral
    (r"<unused94>", r"<unused95>"),  # MedGemma
    (r"<\|begin_of_thought\|>", r"<\|end_of_thought\|>"),  # OpenThinker, Sky-T1
    (r"<\|start_thinking\|>", r"<\|end_thinking\|>"),  # Cohere Command A
    (r"<\|thinking\|>", r"<\|/thinking\|>"),
    (r"◁think▷", r"◁/think▷"),  # Kimi
    (r"<\|think_start\|>", r"<\|think_end\|>"),
    (r"<\|channel\|>\s*(?:analysis"
     r"|commentary)\b[^<]*<\|message\|>", r"<\|channel\|>\s*final\b[^<]*<\|message\|>"),  # gpt-oss
    (r"\A(?-i:analysis(?=[A-Z]))", r"assistant\s?final(?-i:(?![a-z]))"),  # the same without its special tokens
    (r"^here(?: is|'s|’s) my thought process:", r"^here(?: is|'s|’s) my response:"),  # Granite
)  # fmt: skip
# Headings that open a thought, and those that end one that no mark opened.
THOUGHT_HEADINGS = ("thinking", "thought process", "thoughts", "internal reasoning")
ANSWER_HEADINGS = ("final response", "final answer", "response", "answer", "conclusion", "final decision")
UNOPENED_HEADINGS = ("final response",)

# --- Special tokens and invented turns: they end an answer. ----------------------------------------------------------
SPECIAL_TOKENS = (
    r"<[|｜][^<>|｜\n]{1,40}[|｜]>",
    r"\[\|[^\[\]|\n]{1,30}\|\]",
    r"</?s>",
    r"<(?:end_of_turn|eos|bos|pad|unk|endoftext|eot|eom)>",
    r"<start_of_turn>(?:model|user)?",
    r"\[/?inst\]",
    r"<</?sys>>",
    r"◁(?:eot|eom|end)▷",
)
ROLES = ("assistant", "user", "system", "model")  # a role name right after a special token is part of it
RUN_ONS = (
    r"#{0,4} ?(?:human|user|student|patient)\s?:",
    r"#{0,4} ?(?:new |next |another )?(?:question|problem|exercise|query)(?: ?\d+)?\s?[:.]",
    r"#{0,4} ?q ?\d*\s?[:.]",
    r"#{1,4} ?(?:instruction|input|user|human|question|task)s?\b",
    r"(?:问题|题目|質問|frage|pregunta|domanda|pergunta|вопрос)\s?\d*\s?:",
)
# A list of options after an answer; with other texts than the question's it belongs to an invented question.
OPTION_LIST = (
    r"\n[^\S\n]*(?:#{0,4} ?(?:answer )?(?:options|choices)\s?:|[^\n]{20,}[.?])\s*\n[\s\-•]*[(\[]?a[.):\]]\s*(?=[^\n]+"
    r"\n[\s\-•]*[(\[]?b[.):\]][^\n]+(?:\n[\s\-•]*[(\[]?[c-j][.):\]][^\n]+)*\n+(?:the )?(?:correct )?answer\b)"
)

# --- Structured answers. ---------------------------------------------------------------------------------------------
# Names of the fields, without case and punctuation, in the order in which they are believed.
FIELDS = (
    ("finalanswer", "answer", "correctanswer", "answerchoice", "answeridx", "answerindex", "answerletter", "ans",
     "answeroption", "correctoption", "correctchoice", "finalchoice", "finaldecision", "selectedanswer",
     "selectedoption", "selectedchoice", "chosenoption", "chosenanswer", "predictedanswer", "bestanswer",
     "mostlikelyanswer", "answerkey", "respuesta", "antwort", "réponse", "reponse", "risposta", "resposta", "答案",
     "ответ", "正解", "정답"),
    ("choice", "option", "letter", "optionletter", "choiceletter", "selection", "selected", "decision", "prediction",
     "predicted", "pred", "final", "verdict", "correct"),
    ("label", "response", "result", "output", "key", "value", "solution", "conclusion", "diagnosis", "finalresponse",
     "finaldiagnosis"),
)  # fmt: skip
# Tags and calls that hold an answer: <answer>, [ANSWER], Finish[B], submit("B"), answer="B".
ANSWER_TAGS = (
    r"(?:final[_ -]?|correct[_ -]?|selected[_ -]?)?(?:answer|choice|option|ans|decision|letter|response"
    r"|output|solution|result|final)(?:[_ -]?(?:choice|letter|option|idx|key))?"
)
CALL_NAMES = (
    "finish", "submit", "final_answer", "select_option", "choose_option", "return_answer", "give_answer", "answer(",
    "answer[", "respond(",
)  # fmt: skip

# --- Words that mark an answer, by language. -------------------------------------------------------------------------
BE = (
    r"(?:is|was|would be|should be|must be|will be|has to be|ought to be|could only be|can only be|remains"
    r"|becomes|seems(?: to be)?|appears(?: to be)?|looks(?: like| to be)?|sounds(?: like)?)"
)
# (language, nouns for "answer", words for "is"); with a colon or such a word after it the noun announces an answer.
LANGUAGES = (
    ("German", r"antwort(?:möglichkeit)?|lösung|richtig", r"ist|lautet|wäre"),
    ("French", r"réponse|reponse|bonne option", r"est|serait"),
    ("Spanish", r"respuesta|opción correcta|opcion correcta|alternativa correcta", r"es|sería|seria"),
    ("Portuguese", r"resposta|gabarito|opção correta|alternativa correta", r"é|e|seria"),
    ("Italian", r"risposta|soluzione|opzione corretta", r"è|e'|sarebbe"),
    ("Dutch", r"antwoord", r"is"),
    ("Polish", r"odpowiedź|odpowiedz", r"to|jest"),
    ("Swedish, Danish, Norwegian", r"svaret?|svar", r"är|er"),
    ("Turkish", r"cevap|yanıt|doğru seçenek", r"şudur"),
    ("Indonesian", r"jawaban(?:nya)?", r"adalah|ialah"),
    ("Vietnamese", r"đáp án", r"là"),
    ("Czech", r"odpověď", r"je"),
    ("Greek", r"απάντηση", r"είναι"),
    ("Russian", r"ответ|вариант", r"это|[-–—]"),
    ("Ukrainian", r"відповідь", r"це|[-–—]"),
    ("Arabic", r"الإجابة|الاجابة|إجابة|الجواب|الخيار الصحيح", r"هي|هو"),
    ("Persian", r"پاسخ|جواب", r"است"),
    ("Hindi", r"उत्तर|जवाब", r"है"),
    ("Chinese", r"答案|答|正确选项|正確選項|最佳选项", r"应该是|应为|應為|是|为|為|选|選|应选"),
    ("Japanese", r"答え|正解|解答|回答|答案|正答", r"は|が"),
    ("Korean", r"정답|답", r"은|는|이"),
)
# A denial inside what a cue of another language matched: "答案不是C".
FOREIGN_DENIALS = (
    r"\b(?:nicht|keine?\w?|pas|no|não|nao|non|not|не|niet|nie|ikke|inte|değil|bukan|không|falsche?\w?|incorrect\w"
    r"|fausse)\b"
    r"|不|非|错|ない|아니|ليس|نیست"
)
# Adjectives after the noun ("réponse correcte : D") and words before the letter ("lautet daher B").
FOREIGN_ADJECTIVES = (
    r"correcte|juste|exacte|finale|correcta|correta|certa|final|definitiva|corretta|giusta|esatta|benar|tepat|đúng"
)
FOREIGN_FILLERS = (
    r"daher|also|somit|demnach|folglich|donc|ainsi|alors|bien|por tanto|por lo tanto|entonces|pues|portanto|então|logo"
    r"|quindi|dunque|pertanto|следовательно|dus|więc|opção|opcion|respuesta|resposta|risposta|antwoord"
)
# (language, "the right answer" as a predicate, what stands between the option and it): "So ist A die richtige Antwort".
FOREIGN_PREDICATES = (
    ("German", r"die (?:richtige|korrekte|beste) (?:antwort|lösung|option)", r"(?: ist| wäre)? "),
    ("French", r"la (?:bonne|meilleure) (?:réponse|reponse|option)", r" est (?:donc )?"),
    ("French", r"la (?:réponse|reponse) (?:correcte|juste|exacte)", r" est (?:donc )?"),
    ("Spanish", r"la (?:respuesta|opción|opcion|alternativa) correcta", r" es "),
    ("Portuguese", r"a (?:resposta|opção|alternativa) (?:correta|certa)", r" é "),
    ("Italian", r"la (?:risposta|opzione) (?:corretta|giusta|esatta)", r" è "),
    ("Dutch", r"het (?:juiste|correcte) antwoord", r"(?: is)? "),
    ("Russian", r"правильный ответ", r"(?: ?[-–—]| это) ?"),
    ("Chinese", r"(?:是|为)(?:正确|最佳)(?:答案|选项)", r"(?:选项|项)?"),
    ("Japanese", r"が(?:正解|正答|答え)", r""),
    ("Korean", r"(?:가|이) (?:정답|답)", r""),
)
ARTICLES = r"la|el|le|les|lo|il|die|der|das|den|de|het|letra|lettre|lettera|buchstabe|littera|буква|la letra|la lettre"
# Nouns of the line that gives the answer ("Final choice: B"); weak ones may also head a line of reasoning.
NOUNS = (
    "choice", "option", "decision", "prediction", "selection", "final", "correct", "verdict", "response", "letter",
    "output",
)  # fmt: skip
WEAK_NOUNS = (
    "conclusion", "result", "diagnosis", "treatment", "cause", "management", "next step", "impression", "summary",
    "solution", "statement", "organism", "most likely", "best guess",
)  # fmt: skip
ADJECTIVES = (
    r"final|correct|best|right|my|the|selected|chosen|revised|corrected|updated|most likely|most appropriate"
    r"|likely|probable|new|proposed|suggested|your|single|letter|true|appropriate|overall|short|multiple choice"
)
# What a statement of the best option is about: "the most likely diagnosis is …", "the drug of choice is …".
SUBJECTS = (
    r"diagnosis|cause|treatment|therapy|drug|agent|medication|test|investigation|study|step|management|organism"
    r"|pathogen|choice|intervention|mechanism|explanation|finding|condition|action|one|procedure|approach|etiology"
    r"|complication|factor|statement|disease|disorder|structure|vaccine|recommendation|option|measure|location|site|possibility|winner"
)
SUPERLATIVES = (
    r"most|best|probable|commonest|recommended|likely|least|correct|right|appropriate|of choice"
    r"|first-line|single|preferred|ideal"
)

# Rules whose marks enclose the answer: two of them side by side name two options.
ENCLOSING = ("boxed", "tag", "call")

# --- Words that govern what is said. ---------------------------------------------------------------------------------
CHOOSE = (
    ("choose", ""), ("chose", ""), ("choosing", ""), ("pick", ""), ("select", ""), ("selecting", ""), ("opt for", ""),
    ("opting for", ""), ("go with", ""), ("going with", ""), ("settle on", ""), ("settling on", ""),
    ("lean toward", "s?"), ("leaning toward", "s?"), ("vote for", ""), ("stick with", ""), ("sticking with", ""),
    ("confident in", ""), ("confident about", ""), ("confident with", ""), ("certain of", ""), ("sure of", ""),
)  # fmt: skip
# Choices that need an option's text: a letter does not follow them.
PREFER = r"(?:recommend|suggest|prescribe|give|start|initiate|administer|order|perform|prefer|consider|use|do|diagnose)"
BEST_NOUN = r"(?:answer|option|choice|response|one|selection|pick)"
# (word, what stands between the subject and the word): "B fits better", "B is the most likely diagnosis".
_FIT = r"(?:fits?|matches|explains|suits|describes|answers|accounts for|satisfies|works)"
_VERY = r"(?:(?:the|a|an|our|her|his|much|clearly|therefore|probably|thus|definitely|likely|single|very) ){0,3}"
COMPARISONS = (
    (" best", rf" {_FIT}\b[^.\n,;]{{0,60}}"),
    (" better", rf" {_FIT}\b[^.\n,;]{{0,60}}"),
    (" all", rf" {_FIT}"),
    (" well", rf" {_FIT}\b[^.\n,;]{{0,60}}"),
    ("fits", r" (?:best|better) "),
    ("explains", r" (?:best|better) "),
    ("matches", r" (?:best|better) "),
    ("better", rf" {BE} {_VERY}"),
    ("more likely", rf" {BE} {_VERY}"),
    ("more appropriate", rf" {BE} {_VERY}"),
    ("more plausible", rf" {BE} {_VERY}"),
    ("more accurate", rf" {BE} {_VERY}"),
    ("more sense", r" makes "),
    ("most sense", r" makes the "),
    ("most likely", rf" {BE} {_VERY}"),
    ("most appropriate", rf" {BE} {_VERY}"),
    ("most accurate", rf" {BE} {_VERY}"),
    ("most suitable", rf" {BE} {_VERY}"),
    ("most consistent", rf" {BE} {_VERY}"),
    ("next best step", rf" {BE} {_VERY}"),
    ("best next step", rf" {BE} {_VERY}"),
    ("best initial", rf" {BE} {_VERY}"),
    ("best choice", rf" {BE} {_VERY}"),
    ("of choice", rf" {BE} (?:the )?(?:\w+ ){{0,3}}"),
    (" remains", r"[a-z)\"'0-9]"),
    ("what remains", rf" {BE} "),
    ("is left", r" "),
    ("best", rf" {BE} {_VERY}"),
    ("stands out", r" "),
    ("preferred over", rf" {BE} {_VERY}"),
    ("preferred to", rf" {BE} {_VERY}"),
    ("superior to", rf" {BE} {_VERY}"),
    ("the one", rf" {BE} "),
)
INVERTED_NOUN = (
    r"(?:statement|option|one|choice|item|exception|finding|feature|cause|assertion|claim|entry|combination)"
)
INVERTED = (
    "incorrect", "false", "wrong", "untrue", "inaccurate", "not true", "not correct", "not accurate", "inappropriate",
    "least likely", "least appropriate", "least accurate", "erroneous", "odd",
)  # fmt: skip
INVERTED_PREDICATES = (
    "exception", "odd one out", "false statement", "incorrect statement", "wrong statement", "untrue statement",
    "incorrect one", "false one", "incorrect option", "false option", "least likely", "least appropriate",
    "inaccurate statement",
)  # fmt: skip
# The first word of an option that is an order, and its forms in a sentence: "I recommend starting heparin".
_REGULAR = ("start", "order", "perform", "obtain", "treat", "check", "repeat", "add", "insert", "consult", "monitor",
            "switch", "administer", "attempt", "recommend", "test", "screen", "inject")  # fmt: skip
_ENDING_IN_E = ("observe", "prescribe", "increase", "decrease", "schedule", "reassure", "discharge", "initiate",
                "discontinue", "measure", "place", "remove", "continue", "evaluate", "resect", "aspirate", "intubate",
                "exclude", "reduce", "provide", "use")  # fmt: skip
_DOUBLED = ("stop", "refer", "admit")
VERB_FORMS = {
    **{verb: (verb + "ing", verb + "ed") for verb in _REGULAR},
    **{verb: (verb.rstrip("e") + "ing", verb.rstrip("e") + "ed") for verb in _ENDING_IN_E},
    **{verb: (verb + verb[-1] + "ing", verb + verb[-1] + "ed") for verb in _DOUBLED},
}
# A correction: `strong` ones put whatever is said next above what was said before.
CORRECTIONS = (
    ("wait", ""),
    ("hmm", ""),
    ("hmmm", "m*"),
    ("on second thought", "s?"),
    ("on reflection", ""),
    ("on further ", r"(?:reflection|thought|consideration|review)"),
    ("upon ", r"(?:further |closer )?(?:reconsideration|reflection|review|consideration|inspection|thought)"),
    ("on reconsideration", ""),
    ("on closer ", r"(?:inspection|look|reading)"),
    (
        "let me ",
        r"(?:reconsider|re-?check|re-?think|correct|revise|double[- ]check|re-?evaluate|think again|re-?examine"
        r"|re-?read)",
    ),
    ("i need to ", r"(?:correct|revise|change)"),
    ("i must ", r"(?:correct|revise|change)"),
    ("actually", r",? no(?=\s?[,:;.!\-–—])"),
    ("scratch that", ""),
    ("correction", ""),
    ("i was ", r"(?:mistaken|wrong)"),
    ("i am mistaken", ""),
    ("i made ", r"an? (?:mistake|error)"),
    ("i stand corrected", ""),
    ("i take ", r"(?:that|it) back"),
    ("my mistake", ""),
    ("sorry", ""),
    ("apologies", ""),
    ("i apologi", "[sz]e"),
    ("that is ", r"(?:wrong|incorrect|not right|a mistake|not correct)(?=\s*(?:[.;,:!?\n–—-]|$))"),
    ("that's ", r"(?:wrong|incorrect|not right|a mistake|not correct)(?=\s*(?:[.;,:!?\n–—-]|$))"),
    ("that was ", r"(?:wrong|incorrect|not right|a mistake|not correct)(?=\s*(?:[.;,:!?\n–—-]|$))"),
    ("they are wrong", ""),
    ("this is ", r"(?:wrong|incorrect|not right)(?=\s*(?:[.;,:!?\n–—-]|$))"),
    ("i change", r"d? my (?:answer|mind|choice)"),
    ("i revise", r"d? my (?:answer|choice)"),
    ("oops", ""),
    ("hold on", ""),
    ("having ", r"(?:reconsidered|re-?read|reviewed)"),
    ("revised ", r"(?:answer|choice)"),
    ("corrected ", r"(?:answer|choice)"),
    ("my previous ", r"(?:answer|choice|thought|guess)"),
    ("my first ", r"(?:answer|choice|thought|guess)"),
    ("my initial ", r"(?:answer|choice|thought|guess)"),
)
# A small word that corrects only together with the option right after it: "No, B.", "actually B".
SMALL_CORRECTIONS = (
    "no", "nope", "actually", "instead", "rather", "wait", "sorry", "correction", "i mean", "i meant", "hmm", "hmmm",
    "oops",
    "on second thought", "on second thoughts", "on reflection", "make that", "scratch that", "it should be",
    "it must be", "it has to be", "nein", "нет", "不对", "不",
)  # fmt: skip
CONTRASTS = (
    r"while|whereas|unlike|although|though|despite|but not|rather than|instead of|would also|could also|can also"
    r"|may also"
    r"|might also|as opposed to|in contrast|compared|versus|vs|other than|apart from|similar to|mimics?|resembles?"
    r"|differential|alternatively|also considered|such as|including|e\.g|like|both|than|over"
)
DENIALS = (
    r"not|never|no|nor|neither|without|except|exclud\w+|rul\w+ out|unlikely|incorrect|wrong|cannot|if|whether|which"
    r"|unless|less|avoid\w*|contraindicated|eliminat\w+|dismiss\w*|doubt\w*|might|may|could|too|against|fails?|lacks?"
)
# A cue of choice before an option's text in the last sentence.
# In an output of a single sentence also any statement that ends with the text: "It is found in the spleen."
SINGLE_SENTENCE_CUE = (
    r"\b(?:is|are|was|were|has|have|causes?|involves?|shows?|acts? (?:on|at|in)|blocks?|inhibits?)\b|=|[a-z]:"
)
CHOICE_CUES = (
    r"^\s*(?:based on|according to|given) [^,\n]{1,80}, ",
    rf"(?:(?:\bi|\bwe)(?: would| will|'d|'ll| should| must)?(?: therefore| thus| then)? |\bto |\blet's |^"
    rf"|\bshould (?:be )?|\bnow |please |, so |\bso |\bbest to ){PREFER}\b(?:ing)?",
    r"\b(?:should|must|needs to|ought to) be\b",
    r"\b(?:should|must|needs to|ought to) (?:be (?:given|started on|treated with|offered|prescribed|referred for)"
    r"|receive|get|undergo|have)\b",
    rf"\b(?:{SUPERLATIVES})\b[^.\n]{{0,120}}? {BE}\b",
    rf"\b(?:{SUBJECTS})\b[^.\n,]{{0,60}} {BE}\b",
    r"\b(?:patient|he|she|they|child|infant|man|woman|boy|girl|this)\b (?:most likely |likely |probably "
    r"|therefore |clearly |thus )*(?:has|have|suffers from|is suffering from|has developed)\b",
    r"\b(?:consistent with|points? to|points? towards?|indicative of|diagnostic of|suggests?|suggestive of"
    r"|indicates?|describes?|illustrates?"
    r"|is called|is known as|leaves|leaving|confirms?|most likely|corresponds to|pathognomonic (?:of|for)"
    r"|characteristic of|diagnosis of)\b",
    r"\b(?:so|thus|therefore|hence|consequently|it is|it's|this is|that is|i think|i believe|must be|i'd say"
    r"|i say|namely)\b",
    r"\b(?:antibody|hormone|enzyme|nerve|artery|vein|muscle|gene|protein|vitamin|vector|virus|level|dose|pressure"
    r"|value|number|rate|type|stage|score|ratio|percentage|risk|age)\b(?: \w+){0,3}? is\b",
)  # fmt: skip
# Words of cues that go on in ways other than a plural s.
WORD_FORMS = {
    "svar": ("svaret",),
    "jawaban": ("jawabannya",),
    "apologi": ("apologize", "apologise"),
    "hmmm": ("hmmmm", "hmmmmm", "hmmmmmm"),
    "change": ("changed",),
    "revise": ("revised",),
    "submit": ("submitanswer", "submitted"),
    "toward": ("towards",),
    "boxed": ("fboxed", "textboxed"),
    "antwort": ("antwortmöglichkeit",),
}
# Words that correct only before "B is better": cues/before.py: SOFT_BEFORE.
SOFT_CORRECTIONS = ("however", "but ", "instead", "rather", "yet")
# Verbs of change; "to" and the new option follow them: "changing to B", "I switch my answer to B".
CHANGES = ("change", "changed", "changing", "switch", "switched", "switching", "revise", "revised", "revising",
           "correct", "correcting", "amend", "amending", "update", "updating")  # fmt: skip
# Of the small corrections those that need a comma or stop after them: "no, B" corrects, "no fever" does not.
DENYING_CORRECTIONS = ("no", "nope", "nein", "нет")
