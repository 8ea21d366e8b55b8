import pytest

from nlp.relations.corpus import parse_markup

LINES = [
    "{1:14 mm} {spiculated|1} {nodule|1} in {lingula|1}, and {2:6 mm} {cyst|2} in {liver|2}.",
    "No {calcification|-} of the {1:9 mm} {mass|1}.",
    "A {1:9 mm} {mass|1}, likely a {cyst|1?}.",
    "{Node=lymph node|1} {1:BOOKMARK} near the {spleen|-}.",
    "Seen at {1:9 mm}.",
]


@pytest.fixture(scope="session")
def passages(pipeline):
    return [parse_markup(line, pipeline) for line in LINES]


@pytest.fixture(scope="session")
def encoder(tmp_path_factory):
    """A folder with a tiny BERT of random weights, as a user's own would look."""
    import torch
    from tokenizers import BertWordPieceTokenizer
    from transformers import BertConfig, BertModel, BertTokenizerFast

    folder = tmp_path_factory.mktemp("encoder")
    letters = [chr(c) for c in range(33, 127) if not chr(c).isupper()]
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    words = ["nodule", "no", "near", "likely", "mm", "cyst", "place", "size", "type"]
    vocabulary = [*special, *letters, *(f"##{c}" for c in letters), *words]
    (folder / "vocab.txt").write_text("\n".join(vocabulary), encoding="utf-8")
    pieces = BertWordPieceTokenizer(str(folder / "vocab.txt"))
    pieces.save(str(folder / "tokenizer.json"))
    BertTokenizerFast(tokenizer_file=str(folder / "tokenizer.json")).save_pretrained(folder)
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(vocabulary),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
    )
    BertModel(config).save_pretrained(folder)
    return folder
