//! What expressions are worth, as expr-eval reads and JavaScript prints them.

use proptest::prelude::*;
use serde_json::json;

use super::value::print;
use super::*;
use crate::test_support::{TestTurn, build};

fn check(cases: &[(&str, &str)]) {
    for (expression, expected) in cases {
        assert_eq!(calculate(expression), *expected, "{expression}");
    }
}

#[test]
fn operators_bind_as_in_mathematics() {
    check(&[
        ("6*7", "42"),
        (" 1 + 2 * 3 ", "7"),
        ("(1 + 2) * 3", "9"),
        ("10 - 4 - 3", "3"),
        ("100 / 10 / 2", "5"),
        ("-7 % 3", "-1"),
        ("2^3^2", "512"),
        ("-2^2", "-4"),
        ("2^-1", "0.5"),
        ("2 * -3", "-6"),
        ("--3", "3"),
        ("5!", "120"),
        ("3!!", "720"),
        ("2^3!", "64"),
        ("!4", "24"),
        ("2∙3•4", "24"),
    ]);
}

#[test]
fn comparisons_and_words_give_booleans_and_conditions_choose() {
    check(&[
        ("1 < 2", "true"),
        ("2 <= 1 or 3 != 3", "false"),
        ("1 < 2 and 2 < 3", "true"),
        ("not 1 > 2", "false"),
        ("not (1 < 2)", "false"),
        ("1 == true", "false"),
        ("1 + true", "2"),
        ("1 > 2 ? 10 : 20", "20"),
        ("1 ? 0 ? 1 : 2 : 3", "2"),
        ("0 ? 1 : 0 ? 2 : 3", "3"),
        ("2 in [1, 2]", "true"),
        ("3! != 6", "false"),
        ("if(1 < 2, 3, 4)", "3"),
    ]);
}

#[test]
fn functions_answer_as_in_javascript() {
    check(&[
        ("sqrt(16)", "4"),
        ("sqrt 16 + 9", "13"),
        ("sqrt(9)^2", "9"),
        ("sqrt 3^2", "3"),
        ("abs(-3)", "3"),
        ("round(2.5)", "3"),
        ("round(-2.5)", "-2"),
        ("round(0.49999999999999994)", "0"),
        ("roundTo(2.345, 2)", "2.35"),
        ("roundTo(1.005, 2)", "1.01"),
        ("roundTo(1234, -2)", "1200"),
        ("roundTo(2.5)", "3"),
        ("roundTo(1, 0.5)", "NaN"),
        ("roundTo(1, 1000)", "NaN"),
        ("floor(-1.5) + ceil(1.2) + trunc(-1.9)", "-1"),
        ("log(E) + ln(E) + log10(1000) + log2(8)", "8"),
        ("min(3, 1, 2) + max([1, 5]) + sum([1, 2])", "9"),
        ("pow(2, 10)", "1024"),
        ("pow(1, 1/0)", "NaN"),
        ("hypot(3, 4)", "5"),
        ("atan2(0, 1) + sign(-9)", "-1"),
        ("max()", "-Infinity"),
        ("[1, 2/4]", "1,0.5"),
        ("fac(0) + gamma(5)", "25"),
        ("171!", "Infinity"),
        ("(-1)!", "Infinity"),
        ("PI", "3.141592653589793"),
    ]);
    let half: f64 = calculate("0.5!").parse().unwrap();
    assert!((half - 0.886_226_925_452_758).abs() < 1e-12, "{half}");
}

#[test]
fn numbers_are_read_and_printed_as_in_javascript() {
    check(&[
        ("0.1 + 0.2", "0.30000000000000004"),
        ("1/3", "0.3333333333333333"),
        ("2^53", "9007199254740992"),
        ("10^21", "1e+21"),
        ("123456789 * 10^15", "1.23456789e+23"),
        ("10^20", "100000000000000000000"),
        ("0.000001", "0.000001"),
        ("1.5 / 10^7", "1.5e-7"),
        ("-0", "0"),
        ("1/0", "Infinity"),
        ("-1/0", "-Infinity"),
        ("0/0", "NaN"),
        (".5 + 5.", "5.5"),
        ("1e3 + 1E-1", "1000.1"),
        ("0xff + 0b101", "260"),
        ("1e400", "Infinity"),
    ]);
}

#[test]
fn what_makes_no_sense_is_answered_with_langchains_words() {
    let deep = format!("{}1{}", "(".repeat(100), ")".repeat(100));
    let long = "1+".repeat(4000) + "1";
    let texts = ["", "1 +", "(1", "1)", "2 3", "x + 1", "min(1", "log(1, 2)", "1,000", "'a'"];
    let signs = ["=", "1 ? 2", "foo(1)", "sqrt", "..", "1 orx 2", "€"];
    for text in texts.into_iter().chain(signs).chain([deep.as_str(), long.as_str()]) {
        assert_eq!(calculate(text), AT_A_LOSS, "{text}");
    }
}

#[tokio::test]
async fn the_tool_takes_an_input_and_tells_the_model_when_there_is_none() {
    let Instance::Tool(tool) = build(&SPEC, []) else { panic!("a tool") };
    let ctx = TestTurn::asking("q").ctx();

    let output = tool.call(json!({"input": "6*7"}), &ctx).await.unwrap();
    let error = tool.call(json!({"expression": "6*7"}), &ctx).await.unwrap_err();

    assert_eq!(output.text, "42");
    assert!(error.to_string().contains("\"input\""), "{error}");
}

proptest! {
    #[test]
    fn no_text_makes_it_panic(text in "\\PC{0,60}") {
        calculate(&text);
    }

    #[test]
    fn no_expression_makes_it_panic(text in "[-+*/%^!?:()0-9.,eExb \\[\\]a-z<>=]{0,60}") {
        calculate(&text);
    }

    #[test]
    fn a_printed_number_reads_back_as_the_same(bits: u64) {
        let number = f64::from_bits(bits);
        prop_assume!(number.is_finite());
        let printed = print(number);
        prop_assert_eq!(printed.parse::<f64>().unwrap(), number);
        prop_assert_eq!(calculate(&printed), printed);
    }
}
