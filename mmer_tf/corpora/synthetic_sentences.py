"""What the synthetic speakers say: sentence frames, some of which give the emotion away.

Frames under "any" are said in every emotion alike. Those under "negative" are said by angry and
sad speakers, those under "pleasant" by happy and neutral ones; the rest belong to one emotion.
The words that fill a frame are the same for all emotions, so that only the frame can tell.
"""

import random
import re

FRAMES = {
    "any": (
        "My {person} left the {thing} {place}.",
        "I will talk to your {person} {time}.",
        "They want to see us {time}.",
        "Did you see the {thing} {place}?",
        "My {person} told me about it {time}.",
        "You should have a look at this {thing}.",
        "I have been waiting for the {thing}.",
        "So this is what your {person} said.",
        "Do you know where the {thing} is?",
        "She is coming back {time}.",
        "We talked about the {thing} {time}.",
        "I don't know what to say about the {thing}.",
        "That's the {thing} from {person_name}.",
        "{person_name} is standing {place}.",
    ),
    "negative": (
        "My {person} lied to me {time}.",
        "They took the {thing} away from me.",
        "{person_name} has broken the {thing}.",
        "I can't bear it without the {thing}.",
        "Nobody listened to me {time}.",
    ),
    "pleasant": (
        "{person_name} found the {thing} {place}.",
        "The {thing} works well again.",
        "We bought a new {thing} {time}.",
        "My {person} is doing well.",
        "They agreed to help us {time}.",
    ),
    "angry": (
        "How dare you touch my {thing}!",
        "I am furious about the {thing}!",
        "Stop shouting at my {person}!",
        "I hate it when you hide the {thing}.",
        "Get out and take your {thing}!",
    ),
    "happy": (
        "I am so happy about the {thing}!",
        "What a wonderful {thing} you have!",
        "We won, let's celebrate {time}!",
        "I love this beautiful {thing}.",
        "It's great fun with your {person}!",
    ),
    "neutral": (
        "The {thing} costs nine dollars.",
        "Please put the form {place}.",
        "The next bus leaves {time}.",
        "The list says one {thing} each.",
        "The office is open {time}.",
    ),
    "sad": (
        "I miss my {person} so much.",
        "I cried about the {thing} {time}.",
        "It hurts that {person_name} died.",
        "I feel so lonely {time}.",
        "We buried my {person} {time}.",
    ),
}
"""Kind of sentence to its frames; the frame's number in its kind is the script."""

FILLERS = {
    "person": ("sister", "brother", "teacher", "neighbour", "doctor", "friend"),
    "person_name": ("Anna", "David", "Laura", "Peter"),
    "thing": ("letter", "car", "book", "table", "camera", "ticket", "phone", "picture"),
    "place": ("by the door", "in the kitchen", "at the station", "in the garden", "on the stairs"),
    "time": ("today", "this morning", "on Monday", "after lunch", "tonight", "this week"),
}

HINTS = {
    "angry": ("any", "negative", "angry"),
    "happy": ("any", "pleasant", "happy"),
    "neutral": ("any", "pleasant", "neutral"),
    "sad": ("any", "negative", "sad"),
}
"""Emotion to the kinds of sentence that its speakers use, from no hint to a clear one."""


def draw_sentence(kind: str, generator: random.Random) -> tuple[str, str]:
    """Draw a frame and fill it.

    Args:
        kind: key of `FRAMES`.
        generator: of random choices.

    Returns:
        The sentence and its script, as in "angry-2".
    """
    script = generator.randrange(len(FRAMES[kind]))
    sentence = re.sub(
        r"\{(\w+)\}", lambda slot: generator.choice(FILLERS[slot[1]]), FRAMES[kind][script]
    )
    return sentence, f"{kind}-{script + 1}"
