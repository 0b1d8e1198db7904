from evomerge.cli.commands.plan import by_value


def test_what_all_models_share_is_said_once() -> None:
    assert by_value({f"model {i}": "llama" for i in range(18)}) == "llama"


def test_where_models_differ_each_value_has_a_line_and_the_commonest_only_counts_its_many_models() -> None:
    values = {f"model {i}": "49152" for i in range(16)} | {"words": "49153", "dates": ""}
    assert by_value(values) == "49152: 16 models\n49153: words\nnone: dates"


def test_few_models_are_named() -> None:
    assert by_value({"base": "32", "words": "32", "dates": "40"}) == "32: base, words\n40: dates"
