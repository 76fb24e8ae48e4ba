"""load_model: where models come from, and what is said when they do not."""

import shutil
import struct

import pytest
import torch
from small_models import make_random_model

from atmanrl.models import TINY, ModelError, load_model


def test_tiny_is_small_fast_and_ready(tiny):
    model, tokenizer = tiny
    assert 0.5e6 < model.num_parameters() < 1.5e6
    assert sum(f.stat().st_size for f in TINY.iterdir()) < 4 * 1024 * 1024
    assert model.config.model_type == "llama"
    assert tokenizer.is_fast
    assert not model.training
    assert model.config._attn_implementation == "sdpa"


def test_tiny_tokenizer_writes_any_text_and_its_digits_are_tokens(tiny):
    tokenizer = tiny[1]
    text = "Sam has 14 coins; naïve 漢字 🙂\n\tEnd"
    ids = tokenizer(text)["input_ids"]
    assert tokenizer.decode(ids, clean_up_tokenization_spaces=False) == text
    assert [tokenizer.decode([i]) for i in tokenizer(" 14")["input_ids"]] == [" 1", "4"]


def test_a_local_folder_round_trips(tmp_path, tiny):
    model, tokenizer = tiny
    model.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    again, _ = load_model(str(tmp_path), device="cpu", dtype="bfloat16")
    assert again.dtype == torch.bfloat16
    exact, _ = load_model(str(tmp_path), device="cpu")
    for a, b in zip(model.parameters(), exact.parameters(), strict=True):
        assert torch.equal(a, b)


def test_a_lora_adapter_is_merged_into_its_base(tmp_path, tiny):
    from peft import LoraConfig, get_peft_model

    model, tokenizer = load_model("tiny", device="cpu")
    adapted = get_peft_model(model, LoraConfig(r=2, target_modules=["q_proj"], init_lora_weights=False))
    adapted.save_pretrained(tmp_path)
    loaded, _ = load_model(str(tmp_path), device="cpu")
    ids = tokenizer("Sam has 14 coins.", return_tensors="pt")["input_ids"]
    with torch.no_grad():
        torch.testing.assert_close(loaded(ids).logits, adapted.eval()(ids).logits, rtol=1e-4, atol=1e-4)
        assert not torch.allclose(loaded(ids).logits, tiny[0](ids).logits, atol=1e-3)
    assert all(parameter.requires_grad for parameter in loaded.parameters())


def test_pickled_weights_are_refused_unless_asked_for(tmp_path, tiny):
    model, tokenizer = tiny
    model.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    (tmp_path / "model.safetensors").unlink()
    torch.save(model.state_dict(), tmp_path / "pytorch_model.bin")
    with pytest.raises(ModelError, match="safetensors"):
        load_model(str(tmp_path), device="cpu")
    assert load_model(str(tmp_path), device="cpu", allow_pickle=True)[0].num_parameters() == model.num_parameters()


def test_remote_code_is_off_unless_asked_for(tmp_path):
    shutil.copytree(TINY, tmp_path / "m")
    config = tmp_path / "m" / "config.json"
    config.write_text(
        config.read_text().replace('"model_type": "llama"', '"model_type": "mine", "auto_map": {"AutoConfig": "c.C"}')
    )
    (tmp_path / "m" / "c.py").write_text("raise SystemExit('ran remote code')")
    with pytest.raises(ModelError):
        load_model(str(tmp_path / "m"), device="cpu")


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("no-such-model", "no model 'no-such-model'"),
        ("./nowhere", "no model './nowhere'"),
        ("nowhere.gguf", "no GGUF file"),
        ("owner/not-there", "cannot load model 'owner/not-there'"),
    ],
)
def test_what_is_not_there_is_named_in_one_line(name, said):
    with pytest.raises(ModelError, match=said) as caught:
        load_model(name, device="cpu")
    assert "\n" not in str(caught.value)


def test_files_and_empty_folders(tmp_path):
    (tmp_path / "weights.bin").write_bytes(b"x")
    with pytest.raises(ModelError, match="is a file"):
        load_model(str(tmp_path / "weights.bin"))
    with pytest.raises(ModelError, match="cannot load model"):
        load_model(str(tmp_path), device="cpu")


@pytest.mark.parametrize("file", ["model.safetensors", "tokenizer.json", "config.json"])
def test_files_cut_short(tmp_path, file):
    shutil.copytree(TINY, tmp_path / "m")
    whole = (tmp_path / "m" / file).read_bytes()
    (tmp_path / "m" / file).write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ModelError, match="cannot load model"):
        load_model(str(tmp_path / "m"), device="cpu")


@pytest.mark.parametrize("option", [{"dtype": "float99"}, {"device": "abacus"}])
def test_unknown_dtype_and_device(option):
    with pytest.raises(ModelError, match=next(iter(option.values()))):
        load_model("tiny", **option)


def test_gguf_that_is_garbage(tmp_path):
    path = tmp_path / "x.gguf"
    path.write_bytes(b"not a gguf file at all")
    with pytest.raises(ModelError, match=r"x\.gguf"):
        load_model(str(path), device="cpu")


def test_gguf_of_an_unsupported_architecture(tmp_path):
    def string(text):
        return struct.pack("<Q", len(text)) + text.encode()

    path = tmp_path / "odd.gguf"
    key = string("general.architecture") + struct.pack("<I", 8) + string("abacus")
    path.write_bytes(b"GGUF" + struct.pack("<IQQ", 3, 0, 1) + key)
    with pytest.raises(ModelError, match="abacus"):
        load_model(str(path), device="cpu")


def test_tokenizer_without_offsets(tmp_path, monkeypatch):
    from atmanrl import models

    class Slow:
        is_fast = False

    monkeypatch.setattr(models, "_load_plain", lambda source, options: (make_random_model("llama"), Slow()))
    with pytest.raises(ModelError, match="without offsets"):
        load_model(str(tmp_path), device="cpu")


@pytest.mark.slow
def test_smollm2_is_the_real_one(smollm2):
    model, tokenizer = smollm2
    assert 130e6 < model.num_parameters() < 140e6
    assert tokenizer.chat_template
    ids = tokenizer("The capital of France is", return_tensors="pt")["input_ids"]
    with torch.no_grad():
        best = model(ids).logits[0, -1].argmax()
    assert tokenizer.decode([best]) == " Paris"


@pytest.mark.slow
def test_smollm2_can_be_saved_and_loaded_as_a_folder(smollm2, tmp_path):
    model, tokenizer = smollm2
    model.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    again, tokenizer2 = load_model(str(tmp_path), device="cpu")
    ids = tokenizer("Two and two is", return_tensors="pt")["input_ids"]
    assert tokenizer2("Two and two is")["input_ids"] == ids[0].tolist()
    with torch.no_grad():
        torch.testing.assert_close(again(ids).logits, model(ids).logits)
