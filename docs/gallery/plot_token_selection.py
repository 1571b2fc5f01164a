"""
Token selection by sparse attention
===================================

Attention by softmax gives a weight to every word. With ``alpha`` above 1 the weights of most words are exactly 0, which
shows the words that a classifier used. This example trains one attention query in PyTorch on short film reviews, with
softmax, 1.5-entmax and sparsemax.
"""

# sphinx_gallery_thumbnail_number = 2

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.ticker import PercentFormatter

from anyargmax import soft_one_hot

torch.set_num_threads(1)  # the arrays are small: more threads would be slower

# %%
# Reviews and a model
# -------------------
#
# Each review is good (+) or bad (-). The reviews for the test combine words of the training in new ways.

TRAIN = """
+ a clever plot and a superb cast        | - a dull plot and a wooden cast
+ the music is lovely                    | - the music is awful
+ superb from the first scene to the end | - boring from the first scene to the end
+ we found the story moving              | - we found the story tedious
+ a funny film with a lovely ending      | - a clumsy film with a weak ending
+ the actors are superb                  | - the actors are wooden
+ what a clever little film              | - what a tedious long film
+ the second half is moving              | - the second half is weak
+ a lovely story about two brothers      | - a dull story about two brothers
+ the dialogue is funny and clever       | - the dialogue is clumsy and dull
+ we left the room happy                 | - we left the room early
+ moving and funny to the very end       | - awful and tedious to the very end
+ the camera work is superb              | - the camera work is clumsy
+ happy to see it again                  | - boring to see it again
"""
TEST = """
+ the plot is clever                     | - the plot is weak
+ a moving film about two brothers       | - a boring film about two brothers
+ the cast is lovely to the very end     | - the cast is wooden to the very end
+ a funny little story                   | - a dull little story
+ superb music and clever dialogue       | - awful music and clumsy dialogue
+ happy with the camera and the ending   | - tedious with the camera and the ending
"""


def parse(text):
    reviews = [part.split() for line in text.strip().splitlines() for part in line.split("|")]
    return [review[1:] for review in reviews], torch.tensor([float(review[0] == "+") for review in reviews])


def encode(reviews):
    """Number the words, and fill short reviews with 0, which is no word."""
    rows = [torch.tensor([vocabulary[word] for word in review]) for review in reviews]
    return torch.nn.utils.rnn.pad_sequence(rows, batch_first=True)


(train, train_labels), (test, test_labels) = parse(TRAIN), parse(TEST)
vocabulary = {word: 1 + i for i, word in enumerate(sorted({word for review in train for word in review}))}
tokens, test_tokens = encode(train), encode(test)
print(f"{len(train)} reviews to train, {len(test)} to test, {len(vocabulary)} words")

# %%
# A word has an embedding. Its score is the product with a query, its weight comes from
# :func:`~anyargmax.soft_one_hot`, and the sign of a linear function of the weighted mean of the embeddings is the answer.
# The mask keeps words and drops the padding. Twenty models are trained at once, along the first axis of all parameters.


def attend(parameters, tokens, alpha):
    embedding, query, direction = parameters
    words = embedding[:, tokens]
    weights = soft_one_hot(torch.einsum("mrwe,me->mrw", words, query), alpha=alpha, mask=tokens > 0)
    return weights, torch.einsum("mrw,mrwe,me->mr", weights, words, direction)


def fit(alpha, models=20, steps=150, scale=0.1):
    key = torch.Generator().manual_seed(0)
    shapes = (models, 1 + len(vocabulary), 8), (models, 8), (models, 8)
    parameters = [(scale * torch.randn(shape, generator=key)).requires_grad_() for shape in shapes]
    optimizer = torch.optim.Adam(parameters, lr=0.03)
    for _ in range(steps):
        optimizer.zero_grad()
        logits = attend(parameters, tokens, alpha)[1]
        labels = train_labels.expand_as(logits)
        torch.nn.functional.binary_cross_entropy_with_logits(logits, labels, reduction="none").mean(1).sum().backward()
        optimizer.step()
    return parameters


# %%
# Zeros against accuracy
# ----------------------
#
# Each dot is a model, each large mark the mean of twenty. With small initial parameters, 1.5-entmax and sparsemax drop
# two words of three and are as accurate as softmax. With initial parameters that are five times larger they are not:
# some words have weight 0 before the training starts, and a review gives no gradient to a word of weight 0.

ALPHAS = (1.0, 1.25, 1.5, 1.75, 2.0)
kept = test_tokens > 0
trained = {}
figure, axis = plt.subplots(figsize=(5.6, 3.4))
for scale, marker in ((0.1, "o"), (0.5, "s")):
    for color, alpha in enumerate(ALPHAS):
        trained[scale, alpha] = fit(alpha, scale=scale)
        with torch.no_grad():
            weights, logits = attend(trained[scale, alpha], test_tokens, alpha)
            start = attend(fit(alpha, steps=0, scale=scale), test_tokens, alpha)[0][:, kept]
        zeros = (weights[:, kept] == 0).float().mean(1)
        correct = ((logits > 0) == (test_labels > 0)).float().mean(1)
        numbers = f"{(start == 0).float().mean():4.0%} at the start, {zeros.mean():4.0%} trained"
        print(f"scale {scale}   alpha {alpha:4}   weights of 0: {numbers}   accuracy {correct.mean():4.0%}")
        axis.plot(zeros, correct, marker, color=f"C{color}", ms=4, alpha=0.2)
        label = f"alpha {alpha}" if marker == "o" else None
        axis.plot(zeros.mean(), correct.mean(), marker, color=f"C{color}", ms=9, mec="black", label=label)
axis.plot([], [], "s", color="white", mec="black", ms=9, label="larger initial\nparameters")
axis.set(xlabel="weights of words that are exactly 0", ylabel="accuracy on the test")
axis.xaxis.set_major_formatter(PercentFormatter(1, 0))
axis.yaxis.set_major_formatter(PercentFormatter(1, 0))
axis.legend(loc="lower left")
plt.show()

# %%
# Which words?
# ------------
#
# The weights of the first model of each alpha. Words in grey have a weight of exactly 0; a softmax weight may be small,
# but it is not 0.

figure, axis = plt.subplots(figsize=(5.6, 3.8))
labels = []
for i, review in enumerate((0, 5, 8)):
    for j, alpha in enumerate((1.0, 1.5, 2.0)):
        y = 3.4 * i + j
        weights = attend(trained[0.1, alpha], test_tokens, alpha)[0][0, review].tolist()
        for x, (word, weight) in enumerate(zip(test[review], weights, strict=False)):
            color = plt.colormaps["Blues"](0.15 + 0.45 * weight) if weight else "white"
            axis.add_patch(plt.Rectangle((x - 0.5, y - 0.5), 1, 1, color=color))
            number = f"{weight:.2f}" if weight >= 0.005 else f"{weight:.0e}" if weight else "0"
            axis.text(x, y, f"{word}\n{number}", ha="center", va="center", color="black" if weight else "grey")
        labels.append((y, f"alpha {alpha}"))
axis.set(xlim=(-0.5, 7.5), ylim=(9.3, -0.5), xticks=[])
axis.set_yticks(*zip(*labels, strict=True))
axis.grid(False)
axis.spines[:].set_visible(False)
axis.tick_params(length=0)
plt.show()

# %%
# The gradient of a word of weight 0
# ----------------------------------
#
# The gradient of its score and of its embedding is also 0. Such a word gets weight again only if other reviews change
# its score, or the scores of the other words of the review. Start with scores that differ little, or train with a
# smaller alpha first.

review = 8
for alpha in (1.0, 1.5, 2.0):
    weights, logits = attend(trained[0.1, alpha], test_tokens, alpha)
    (gradient,) = torch.autograd.grad(logits[0, review], trained[0.1, alpha][0])  # of all embeddings
    print(f"alpha {alpha}")
    for word, weight in zip(test[review], weights[0, review].tolist(), strict=False):
        size = gradient[0, vocabulary[word]].norm().item()
        print(f"  {word:9} weight {weight:.3f}   length of the gradient {size:.3f}")

# %%
# Check
# -----
#
# Words of weight 0 can be deleted: the answers of all sparsemax models to all reviews stay the same, up to rounding in
# float32. The weights also agree with the algorithm that sorts the scores (Martins and Astudillo, 2016, algorithm 1).


def sparsemax(scores):
    falling = np.sort(scores)[::-1]
    thresholds = (np.cumsum(falling) - 1) / np.arange(1, len(scores) + 1)
    return np.maximum(scores - thresholds[np.count_nonzero(falling > thresholds) - 1], 0)


with torch.no_grad():
    parameters = trained[0.1, 2.0]
    weights, logits = attend(parameters, test_tokens, alpha=2.0)
    scores = torch.einsum("mrwe,me->mrw", parameters[0][:, test_tokens], parameters[1])
    changes, differences = [], []
    for model, review in np.ndindex(*logits.shape):
        one = [parameter[model : model + 1] for parameter in parameters]
        shorter = test_tokens[review : review + 1, weights[model, review] > 0]
        changes.append(attend(one, shorter, alpha=2.0)[1].item() - logits[model, review].item())
        words = model, review, kept[review]
        differences.append(np.abs(sparsemax(scores[words].numpy()) - weights[words].numpy()).max())
print(
    f"words deleted: largest change of {len(changes)} answers {np.abs(changes).max():.1e}, of {logits.abs().max():.1f}"
)
print(f"sorting: largest difference of a weight {max(differences):.1e}")
