//! Expressions as people write them in Flowise, and the answers they allow.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::parse;

/// The expression of Flowise's own example.
const MOVIES: &str = r#"z.array(z.object({
    title: z.string(), // Title of the movie as a string
    yearOfRelease: z.number().int(), // Release year as an integer number,
    genres: z.enum([
        "Action", "Comedy", "Drama"
    ]).array().max(2), /* of the "enum" */
    shortDescription: z.string().max(10)
}))"#;

fn check(shape: &str, answer: Value) -> Result<Value, String> {
    parse(shape).unwrap_or_else(|why| panic!("{shape} {why}")).check(answer)
}

fn problem(shape: &str, answer: Value) -> String {
    check(shape, answer).expect_err(shape)
}

#[test]
fn the_example_of_the_palette_is_read() {
    let movie = json!([{
        "title": "Alien", "yearOfRelease": 1979, "genres": ["Drama"], "shortDescription": "In space",
    }]);
    assert_eq!(check(MOVIES, movie.clone()), Ok(movie));
    let wrong = json!([{
        "title": "Alien", "yearOfRelease": 1979.5, "genres": ["Drama", "Horror", "Action"],
        "shortDescription": "In space, no one", "extra": 1,
    }]);
    assert_eq!(
        problem(MOVIES, wrong),
        "[0].yearOfRelease must be a whole number; [0].genres must have at most 2 items; \
         [0].genres[1] must be one of Action, Comedy, Drama; \
         [0].shortDescription must have at most 10 characters"
    );
}

#[test]
fn every_kind_accepts_its_own_and_refuses_the_rest() {
    for (shape, good, bad) in [
        ("z.string()", json!("x"), json!(1)),
        ("z.string().min(2)", json!("🦊"), json!("x")),
        ("z.string().length(1)", json!("x"), json!("🦊")),
        ("z.string().nonempty('please')", json!("x"), json!("")),
        ("z.string().email()", json!("a.b@c.de"), json!("a@b")),
        ("z.string().url()", json!("https://a.b/c?d"), json!("a.b/c")),
        ("z.string().uuid()", json!("0b9f4f2e-2c44-4a3c-9d4e-6f0b8f6f0001"), json!("0b9f4f2e")),
        ("z.number()", json!(-1.5), json!("1")),
        ("z.number().min(-1).max(1)", json!(-1), json!(1.01)),
        ("z.number().gt(0)", json!(0.1), json!(0)),
        ("z.number().nonnegative().lt(1e3)", json!(0), json!(1000)),
        ("z.number().positive()", json!(1), json!(0)),
        ("z.boolean()", json!(false), json!("false")),
        ("z.date()", json!("2024-05-17T08:00:00.5Z"), json!("17 May")),
        ("z.literal(-1)", json!(-1.0), json!(1)),
        ("z.literal('a')", json!("a"), json!("b")),
        ("z.null()", json!(null), json!(0)),
        ("z.enum(['a', \"b\", `c`])", json!("c"), json!("C")),
        ("z.array(z.number(), {}).nonempty()", json!([1]), json!([])),
        ("z.string().array().array()", json!([["x"]]), json!(["x"])),
        ("z.tuple([z.string(), z.number()])", json!(["x", 1]), json!(["x"])),
        ("z.record(z.number())", json!({"a": 1}), json!({"a": "x"})),
        ("z.record(z.string(), z.boolean())", json!({"a": true}), json!({"a": 1})),
        ("z.union([z.string(), z.number().int()])", json!(1), json!(1.5)),
        ("z.nullable(z.string())", json!(null), json!(1)),
        ("z.object({a: z.string().nullable()})", json!({"a": null}), json!({})),
        ("z.object({'a b': z.string(), 1: z.any()})", json!({"a b": "x"}), json!({"1": 2})),
    ] {
        assert_eq!(check(shape, good.clone()), Ok(good), "{shape}");
        let problem = problem(shape, bad);
        assert!(
            problem.contains("must ")
                || problem.contains("is missing")
                || problem.contains("none of the allowed shapes"),
            "{shape}: {problem}"
        );
    }
}

#[test]
fn what_is_missing_is_told_left_out_or_replaced() {
    let shape = "z.object({ a: z.string().optional(), b: z.number().default(-5), c: z.string().nullish(),\n d: z.any(), e: z.boolean() }, );";
    assert_eq!(check(shape, json!({"e": true, "f": 1})), Ok(json!({"b": -5, "e": true})));
    assert_eq!(problem(shape, json!({"a": null})), "a must be a text; e is missing");
}

#[test]
fn the_model_is_told_the_shape_as_json_schema() {
    let shape = "z.object({ a: z.string().min(1).max(9).describe('A'), \
        b: z.number().int().gte(1).lt(2.5).nullable().optional(), \
        c: z.union([z.literal('x'), z.tuple([z.date()])]).default('x'), \
        d: z.record(z.boolean()), e: z.enum(['y']).array().length(2) })";
    let expected = json!({
        "type": "object",
        "properties": {
            "a": {"type": "string", "minLength": 1, "maxLength": 9, "description": "A"},
            "b": {"anyOf": [
                {"type": "integer", "minimum": 1, "exclusiveMaximum": 2.5}, {"type": "null"},
            ]},
            "c": {"anyOf": [
                {"const": "x"},
                {"type": "array", "prefixItems": [{"type": "string", "format": "date-time"}],
                 "minItems": 1, "maxItems": 1},
            ], "default": "x"},
            "d": {"type": "object", "additionalProperties": {"type": "boolean"}},
            "e": {"type": "array", "items": {"type": "string", "enum": ["y"]},
                  "minItems": 2, "maxItems": 2},
        },
        "required": ["a", "d", "e"],
        "additionalProperties": false,
    });
    assert_eq!(parse(shape).unwrap().to_json(), expected);
}

#[test]
fn whatever_is_not_read_is_named_with_its_line() {
    for (shape, why) in [
        (
            "z.object({\n a: z.bigint()\n})",
            "uses z.bigint, which is not among the parts of Zod that Parlor reads (line 2)",
        ),
        ("z.string().transform(x => x)", "uses .transform(), which is not among"),
        ("z.string().regex(/a/)", "uses .regex(), which is not among"),
        ("z.string().url().int()", "uses .int() where it says nothing"),
        ("z.object()", "gives z.object no fields"),
        ("z.object({a: 1})", "gives the field a no schema"),
        ("z.array()", "gives z.array no schema"),
        ("z.enum([1])", "gives z.enum no list of texts"),
        ("z.number().max()", "gives .max() no number"),
        ("z.string().default(1)", "has a default where the answer must be a text"),
        ("z.string(", "ends where a value is expected"),
        ("z.string() z", "has z in line 1, where the end is expected"),
        ("z.object({a z.string()})", "has z in line 1, where : is expected"),
        ("z.literal(require('fs'))", "uses require, which is not among"),
        ("z.string({a: `${1}`})", "holds a text with ${...}"),
        ("z.string('a", "holds a text without its closing quote"),
        ("z.literal(/a/)", "has / in line 1, where a value is expected"),
        ("z.string().regex(/'/)", "uses .regex(), which is not among"),
        ("/* z", "holds a comment without an end"),
        ("const a = 1", "has const in line 1, where z. is expected"),
        ("(z.string())", "has ( in line 1, where a name is expected"),
        ("z.literal(1e999)", "holds the number 1e999"),
        ("z.string()=", "has = in line 1, where the end is expected"),
    ] {
        let error = parse(shape).expect_err(shape);
        assert!(error.contains(why), "{shape}: {error}");
    }
}

#[test]
fn depth_and_size_are_bounded() {
    let deep = format!("{}z.any(){}", "z.array(".repeat(10_000), ")".repeat(10_000));
    assert!(parse(&deep[..60_000]).unwrap_err().contains("nested deeper"));
    let brackets = format!("z.literal({}", "[".repeat(60_000));
    assert!(parse(&brackets).unwrap_err().contains("nested deeper"));
    assert!(parse(&" ".repeat(70_000)).unwrap_err().contains("shorten it"));
    let six = "z.object({a: ".repeat(6) + "z.string()" + &"})".repeat(6);
    parse(&six).unwrap();
}

proptest! {
    #[test]
    fn no_text_breaks_the_parser(
        pieces in prop::collection::vec(
            prop::sample::select(vec![
                "z", ".", "(", ")", "{", "}", "[", "]", ",", ":", "'a'", "-", "1.5", "object",
                "array", "string", "number", "min", "optional", "/*", "//", "\n", "`", "é", "1.",
            ]),
            0..24,
        )
    ) {
        let _ = parse(&pieces.concat());
    }
}
