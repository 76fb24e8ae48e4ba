"""Does one backward pass find what exchanging finds? Attribution patching (arXiv 2403.00745) beside the exact drops.

    python benchmarks/first_order.py chains|decoy|gsm8k [--count 40]

For each number of a worked solution: what the answer loses, in nats, when it is exchanged wherever it stands; and to
first order, the gradient of the answer's surprisal by the embeddings times the difference of the two embeddings, summed
over the places. Prints and writes to benchmarks/results/first-order-TASK.json: the rank correlation within a solution,
in how many the largest is the same number, and how many of the exact drops over 0.7 nats are over 0.7 to first order.
"""

import argparse
import json
from statistics import fmean

import torch
from scipy.stats import spearmanr
from scored_texts import RESULTS, SOURCES

from atmanrl.exchange import Peers, surprisals
from atmanrl.ledger import LEAST_DROP, Case
from atmanrl.model_state import frozen
from atmanrl.models import load_model
from atmanrl.trace import Trace
from atmanrl.work import _case, _text


def exact(model: torch.nn.Module, peers: Peers, case: Case) -> dict[str, float]:
    """Drops of the answer among all tokens, by value."""
    rows = [(), *((value,) for value in case.edits)]
    with torch.no_grad():
        found = surprisals(model, peers, [_text(case, row) for row in rows])
    first = case.trace.cue_end - case.trace.prompt_end
    answer = [i for i, place in enumerate(case.places) if place >= first]
    sums = [float(one[answer, 0].sum()) for one in found]
    return {value: after - sums[0] for value, after in zip(case.edits, sums[1:], strict=True)}


def first_order(model: torch.nn.Module, case: Case) -> dict[str, float]:
    """The same by one backward pass."""
    table = model.get_input_embeddings().weight.detach()  # (V, D)
    ids = torch.tensor(case.trace.ids)
    embeddings = table[ids].clone().requires_grad_()  # (L, D)
    logits = model(inputs_embeds=embeddings[None], use_cache=False).logits[0].float().log_softmax(dim=-1)  # (L, V)
    targets = [at for unit in case.answer for at in unit.tokens]
    (-sum(logits[at - 1, ids[at]] for at in targets)).backward()
    gradient = embeddings.grad
    return {
        value: float(sum(gradient[at] @ (table[new] - table[ids[at]]) for at, new in edit.items()))
        for value, edit in case.edits.items()
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("task", choices=SOURCES)
    parser.add_argument("--count", type=int, default=40)
    args = parser.parse_args()
    torch.set_num_threads(1)
    source, task = SOURCES[args.task]
    model, tokenizer = load_model(source, device="cpu", dtype="float32")
    peers, rows = Peers(model, tokenizer), []
    with frozen(model):
        for e in task.examples("dev", args.count):
            trace = Trace.from_text(tokenizer, task.prompt(e), e.reasoning or "", task.cue, task.answer_text(e))
            case = _case(trace, e.question, 0, peers)
            if len(case.edits) > 2:
                rows.append((exact(model, peers, case), first_order(model, case)))
    ranks = [spearmanr(list(a.values()), list(b.values())).statistic for a, b in rows]
    same = [max(a, key=lambda v: a[v]) == max(b, key=lambda v: b[v]) for a, b in rows]
    large = [b[value] > LEAST_DROP for a, b in rows for value in a if a[value] > LEAST_DROP]
    result = {"n": len(rows), "spearman": fmean(ranks), "same_largest": fmean(same), "large_found": fmean(large)}
    print(json.dumps(result))
    file = RESULTS / f"first-order-{args.task}.json"
    file.write_text(json.dumps({**result, "rows": rows}, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
