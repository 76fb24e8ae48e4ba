"""Random models of every supported family, a model built by hand, and traces of random ids."""

FAMILIES = ("llama", "qwen2", "qwen3", "mistral", "gemma3")
WINDOW = 12  # sliding window of the random Mistral and Gemma 3, shorter than the traces


def make_random_model(family: str, **changes):
    """A random-weight model of two layers, sharp enough that its attention matters."""
    import torch
    import transformers as hf

    common = {
        "vocab_size": 64, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2,
        "num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 256,
        "head_dim": 8, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2, "attn_implementation": "sdpa",
    }  # fmt: skip
    kinds = {
        "llama": (hf.LlamaConfig, hf.LlamaForCausalLM, {}),
        "qwen2": (hf.Qwen2Config, hf.Qwen2ForCausalLM, {}),
        "qwen3": (hf.Qwen3Config, hf.Qwen3ForCausalLM, {}),
        "mistral": (hf.MistralConfig, hf.MistralForCausalLM, {"sliding_window": WINDOW}),
        "gemma3": (
            hf.Gemma3TextConfig,
            hf.Gemma3ForCausalLM,
            {"sliding_window": WINDOW, "layer_types": ["sliding_attention", "full_attention"]},
        ),
    }
    config_class, model_class, own = kinds[family]
    torch.manual_seed(7)
    model = model_class(config_class(**{**common, **own, **changes}))
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() > 1:
                parameter.normal_(0.0, 0.3)
    return model.eval()


def make_trace(seed: int, prompt: int = 7, reasoning: int = 9, cue: int = 2, answer: int = 3):
    """A trace of random ids (3 to 63)."""
    import random

    from atmanrl.trace import Trace

    rng = random.Random(seed)
    length = prompt + reasoning + cue + answer
    ids = tuple(rng.randrange(3, 64) for _ in range(length))
    ends = (prompt, prompt + reasoning, prompt + reasoning + cue)
    return Trace(ids, tuple(f"<{i}>" for i in ids), *ends)


def make_planted_model():
    """One attention head that lets the cue attend to token 9 alone and copies its identity to the output."""
    import torch

    from atmanrl.trace import Trace

    model = make_random_model("llama", num_hidden_layers=1, num_attention_heads=1, num_key_value_heads=1,
                              hidden_size=64, head_dim=64, tie_word_embeddings=False)  # fmt: skip
    eye = torch.eye(64)
    layer = model.model.layers[0]
    with torch.no_grad():
        model.model.embed_tokens.weight.copy_(eye)
        for linear in (layer.self_attn.q_proj, layer.self_attn.k_proj, layer.mlp.down_proj):
            linear.weight.zero_()
        model.lm_head.weight.mul_(0.03)  # next to nothing, but not nothing: every key leaves a trace in the logits
        # The dims of lowest rotary frequency hardly turn: cue (id 5) queries there what token 9 answers.
        layer.self_attn.q_proj.weight[31, 5] = 0.9
        layer.self_attn.k_proj.weight[31, 9] = 0.9
        layer.self_attn.v_proj.weight.copy_(eye)
        layer.self_attn.o_proj.weight.copy_(4 * eye)
        model.lm_head.weight[20, 9] = 1.0
    ids = (3, 4, 11, 12, 9, 13, 14, 15, 5, 20)
    trace = Trace(ids, tuple(f" {i}" for i in ids), 2, 8, 9)
    return model, trace, 2
