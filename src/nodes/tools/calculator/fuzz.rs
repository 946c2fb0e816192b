//! Expressions that a model writes, and so whoever talks to it.

#[test]
fn any_expression_has_a_short_answer() {
    let seeds = ["2 * (3 + 4)^2", "sqrt(2) / -1e308 % 7", "sin(pi) > 0 ? [1,2] : \"a\"", "1e400!"];
    parlor_fuzz::check!(seeds.map(Vec::from), |bytes: &[u8]| {
        let expression = String::from_utf8_lossy(bytes);
        let answer = super::calculate(&expression);
        assert!(answer.len() <= 400 + 8 * expression.len(), "{answer}");
    });
}
