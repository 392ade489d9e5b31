"""What people call things: words for labels, and words that say nothing. English."""

from __future__ import annotations

import re

SYNONYMS: dict[str, tuple[str, ...]] = {
    "person": ("people", "somebody", "someone", "man", "woman", "child", "human", "intruder", "burglar", "pedestrian"),
    "vehicle": ("car", "truck", "van", "lorry", "bus", "motorcycle", "motorbike", "automobile", "traffic"),
    "animal": ("dog", "cat", "bird", "horse", "cow", "sheep", "bear", "pet", "fox", "deer"),
    "fire": ("flame", "burning", "burn", "blaze"),
    "smoke": ("fume",),
    "explosion": ("explode", "blast", "bang", "bomb", "detonation"),
    "gunshot": ("shot fired", "gun", "gun shot", "shot", "shooting", "gunfire"),
    "glass_break": ("broken glass", "shatter glass", "smash window", "broken window", "break window", "shattering"),
    "scream": ("shriek", "yell", "shout", "cry for help"),
    "alarm": ("beeping", "smoke detector", "fire alarm", "burglar alarm", "smoke alarm"),
    "siren": ("ambulance", "police car", "fire engine", "emergency vehicle"),
    "crying_baby": ("baby", "infant", "baby cry", "crying child", "sobbing", "crying", "weeping"),
    "dog_bark": ("dog", "bark", "woof", "howl"),
    "door_knock": ("knock", "knock on door", "door", "someone at door"),
    "fall": ("fallen", "person down", "fall down", "collapse", "fell"),
    "fight": ("brawl", "assault", "violence", "hit"),
    "anomaly": ("unusual", "strange", "odd", "weird"),
}
"""Other words for the labels that the shipped model has. A label's own words need not be here."""

NARROWER_WORDS = frozenset({
    *("man", "woman", "child", "car", "truck", "van", "lorry", "bus", "motorcycle", "motorbike", "dog", "cat", "bird"),
    *("horse", "cow", "sheep", "bear", "fox", "deer", "ambulance", "smoke detector", "fire alarm", "police car"),
    *("door", "fire engine", "burglar alarm", "smoke alarm", "howl"),
})  # fmt: skip
"""Words that mean less than the label: they narrow the search down further by what they mean."""

STOP_WORDS = frozenset(
    """a an and are as at be been but by camera cameras can clip clips did do does event events find for from had has
    have heard hear how i in inside into is it its near of off on or over saw see seen show sound sounds something
    the there these this those to video videos was were what when where which while who with zone any anything me my
    all please happened happen happens happening around about close next outside alert alerts noise noises""".split()  # noqa: SIM905 - read as a sentence
)


def stem(word: str) -> str:
    """A word without its commonest endings, so that "barking", "barks" and "bark" are one."""
    for ending, least in (("ies", 2), ("ing", 3), ("ed", 3), ("s", 3)):
        if word.endswith(ending) and len(word) - len(ending) >= least and not word.endswith("ss"):
            root = word[: -len(ending)]
            if ending == "ies":
                return f"{root}y"
            doubled = ending != "s" and len(root) > 3 and root[-1] == root[-2] and root[-1] not in "ls"
            root = root[:-1] if doubled else root
            return root.removesuffix("e")
    return word.removesuffix("e") if len(word) > 3 else word


def split_words(text: str) -> list[str]:
    """The words of a text in small letters; names are taken apart (``glass_break`` is two words)."""
    return re.findall(r"[^\W_]+", text.lower())
