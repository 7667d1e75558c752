//! Expressions of a space file: values that depend on parameters, and requirements on them.
//!
//! Numbers, `'64 KiB'` and other quoted quantities (which count in bytes, hertz, bytes a second,
//! nanoseconds, watts, picojoules or square millimetres), quoted names, parameters by path,
//! `+ - * / ^`, comparisons, `&& || !`, and a few functions. Own code: the evaluators that are
//! looked after are either under the AGPL, know no places for their errors, or bring a language
//! with loops. Left out: anything that could fail to end.

use std::collections::BTreeMap;

/// Why an expression cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what}")]
pub struct ExpressionError {
    /// Byte of the text where it was noticed.
    pub at: usize,
    /// What is wrong.
    pub what: String,
}

/// What an expression yields.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// A number, in the base unit of its quantity.
    Number(f64),
    /// A name.
    Text(String),
    /// Whether something holds.
    Truth(bool),
}

impl Value {
    /// A number with or without a unit, else a name.
    pub fn of(text: &str) -> Self {
        let plain = text.trim().parse::<f64>().ok().filter(|number| number.is_finite());
        let measured =
            || lumacycle_arch::units::measure(text).map(|(number, _, factor)| number * factor);
        plain.or_else(measured).map_or_else(|| Self::Text(text.to_owned()), Self::Number)
    }

    const fn kind(&self) -> &'static str {
        match self {
            Self::Number(_) => "a number",
            Self::Text(_) => "a name",
            Self::Truth(_) => "a truth",
        }
    }
}

/// Functions with the number of their arguments.
const FUNCTIONS: &[(&str, usize)] = &[
    ("min", 2),
    ("max", 2),
    ("floor", 1),
    ("ceil", 1),
    ("round", 1),
    ("sqrt", 1),
    ("log2", 1),
    ("exp2", 1),
    ("abs", 1),
];
/// Deepest nesting.
const DEEPEST: usize = 64;

#[derive(Debug, Clone, PartialEq)]
enum Node {
    Constant(Value),
    Name(String),
    Unary(char, Box<Node>, usize),
    Binary(&'static str, Box<Node>, Box<Node>, usize),
    Call(&'static str, Vec<Node>, usize),
}

/// A parsed expression.
#[derive(Debug, Clone, PartialEq)]
pub struct Expression(Node);

impl Expression {
    /// Parses a text whose names all have to be known.
    ///
    /// # Errors
    /// With the place in the text.
    pub fn parse(text: &str, known: &[&str]) -> Result<Self, ExpressionError> {
        let mut parser = Parser { text, at: 0, known, depth: 0 };
        let node = parser.binary(0)?;
        parser.skip();
        if parser.at < text.len() {
            return parser.wrong("an operator or the end belongs here".to_owned());
        }
        Ok(Self(node))
    }

    /// Evaluates with the values of names.
    ///
    /// # Errors
    /// When an operator does not fit its operands, or a name has no value.
    pub fn value(&self, names: &BTreeMap<String, Value>) -> Result<Value, ExpressionError> {
        evaluate(&self.0, names)
    }

    /// The same where a number is wanted.
    ///
    /// # Errors
    /// Also when it is no finite number.
    pub fn number(&self, names: &BTreeMap<String, Value>) -> Result<f64, ExpressionError> {
        match self.value(names)? {
            Value::Number(number) if number.is_finite() => Ok(number),
            Value::Number(number) => {
                Err(ExpressionError { at: 0, what: format!("it comes out as {number}") })
            }
            other => Err(ExpressionError {
                at: 0,
                what: format!("it yields {}, not a number", other.kind()),
            }),
        }
    }

    /// The same where a truth is wanted.
    ///
    /// # Errors
    /// Also when it is no truth.
    pub fn truth(&self, names: &BTreeMap<String, Value>) -> Result<bool, ExpressionError> {
        match self.value(names)? {
            Value::Truth(truth) => Ok(truth),
            other => Err(ExpressionError {
                at: 0,
                what: format!("it yields {}; a comparison is wanted", other.kind()),
            }),
        }
    }
}

/// Operators by how firmly they bind, the loosest first.
const LEVELS: &[&[&str]] =
    &[&["||"], &["&&"], &["<=", ">=", "==", "!=", "<", ">"], &["+", "-"], &["*", "/"], &["^"]];

struct Parser<'a> {
    text: &'a str,
    at: usize,
    known: &'a [&'a str],
    depth: usize,
}

impl Parser<'_> {
    fn wrong<T>(&self, what: String) -> Result<T, ExpressionError> {
        Err(ExpressionError { at: self.at, what })
    }

    fn rest(&self) -> &str {
        &self.text[self.at..]
    }

    fn skip(&mut self) {
        self.at += self.rest().len() - self.rest().trim_start().len();
    }

    fn take(&mut self, word: &str) -> bool {
        self.skip();
        let found = self.rest().starts_with(word);
        if found {
            self.at += word.len();
        }
        found
    }

    fn binary(&mut self, level: usize) -> Result<Node, ExpressionError> {
        let Some(operators) = LEVELS.get(level) else { return self.unary() };
        let mut left = self.binary(level + 1)?;
        loop {
            self.skip();
            let at = self.at;
            let Some(operator) = operators.iter().copied().find(|o| self.take(o)) else {
                return Ok(left);
            };
            // Powers bind to the right; comparisons don't chain.
            let right = if operator == "^" { self.binary(level)? } else { self.binary(level + 1)? };
            left = Node::Binary(operator, Box::new(left), Box::new(right), at);
            self.depth += 1;
            if self.depth > DEEPEST * 4 {
                return self.wrong("the expression is too long".to_owned());
            }
        }
    }

    fn unary(&mut self) -> Result<Node, ExpressionError> {
        self.skip();
        let at = self.at;
        self.depth += 1;
        if self.depth > DEEPEST * 4 {
            return self.wrong("the expression is nested too deep".to_owned());
        }
        for sign in ['-', '!'] {
            if self.take(&sign.to_string()) {
                return Ok(Node::Unary(sign, Box::new(self.unary()?), at));
            }
        }
        self.primary()
    }

    fn primary(&mut self) -> Result<Node, ExpressionError> {
        if self.take("(") {
            let inner = self.binary(0)?;
            return if self.take(")") {
                Ok(inner)
            } else {
                self.wrong("a closing parenthesis belongs here".to_owned())
            };
        }
        if self.take("'") {
            let Some(end) = self.rest().find('\'') else {
                return self.wrong("the quote is not closed".to_owned());
            };
            let value = Value::of(&self.rest()[..end]);
            self.at += end + 1;
            return Ok(Node::Constant(value));
        }
        let word: String = self
            .rest()
            .chars()
            .take_while(|c| c.is_ascii_alphanumeric() || "_.".contains(*c))
            .collect();
        let at = self.at;
        let Some(first) = word.chars().next() else {
            return self.wrong("a number, a 'quantity', a parameter or ( belongs here".to_owned());
        };
        if first.is_ascii_digit() || first == '.' {
            let mut number = word.clone();
            // The sign of an exponent.
            let after = &self.rest()[word.len()..];
            if word.ends_with(['e', 'E']) && after.starts_with(['-', '+']) {
                number.push_str(&after[..1]);
                number.extend(after[1..].chars().take_while(char::is_ascii_digit));
            }
            return match number.parse::<f64>() {
                Ok(value) => {
                    self.at += number.len();
                    Ok(Node::Constant(Value::Number(value)))
                }
                Err(_) => self.wrong(format!("{number} is no number; quote quantities: '4 MiB'")),
            };
        }
        self.at += word.len();
        if let Some((name, count)) = FUNCTIONS.iter().find(|(name, _)| *name == word)
            && self.take("(")
        {
            let mut arguments = vec![self.binary(0)?];
            while self.take(",") {
                arguments.push(self.binary(0)?);
            }
            if !self.take(")") || arguments.len() != *count {
                return self.wrong(format!("{name} takes {count} argument(s) in parentheses"));
            }
            return Ok(Node::Call(name, arguments, at));
        }
        if word == "true" || word == "false" {
            return Ok(Node::Constant(Value::Truth(word == "true")));
        }
        if self.known.contains(&word.as_str()) {
            return Ok(Node::Name(word));
        }
        Err(ExpressionError {
            at,
            what: format!(
                "\"{word}\" is no parameter of this space (they are {}) and no function",
                self.known.join(", ")
            ),
        })
    }
}

fn evaluate(node: &Node, names: &BTreeMap<String, Value>) -> Result<Value, ExpressionError> {
    match node {
        Node::Constant(value) => Ok(value.clone()),
        Node::Name(name) => names
            .get(name)
            .cloned()
            .ok_or_else(|| ExpressionError { at: 0, what: format!("{name} has no value") }),
        Node::Unary(sign, inner, at) => match (sign, evaluate(inner, names)?) {
            ('-', Value::Number(number)) => Ok(Value::Number(-number)),
            ('!', Value::Truth(truth)) => Ok(Value::Truth(!truth)),
            (_, other) => Err(ExpressionError {
                at: *at,
                what: format!("{sign} does not apply to {}", other.kind()),
            }),
        },
        Node::Binary(operator, left, right, at) => {
            // What follows from the left side alone is not looked at further.
            let left = evaluate(left, names)?;
            match (*operator, &left) {
                ("&&", Value::Truth(false)) | ("||", Value::Truth(true)) => return Ok(left),
                _ => {}
            }
            let right = evaluate(right, names)?;
            combine(operator, &left, &right).ok_or_else(|| ExpressionError {
                at: *at,
                what: format!("{operator} does not apply to {} and {}", left.kind(), right.kind()),
            })
        }
        Node::Call(name, arguments, at) => {
            let mut numbers = Vec::with_capacity(2);
            for argument in arguments {
                match evaluate(argument, names)? {
                    Value::Number(number) => numbers.push(number),
                    other => {
                        let what = format!("{name} does not apply to {}", other.kind());
                        return Err(ExpressionError { at: *at, what });
                    }
                }
            }
            let (a, b) = (numbers[0], numbers.get(1).copied().unwrap_or_default());
            Ok(Value::Number(match *name {
                "min" => a.min(b),
                "max" => a.max(b),
                "floor" => a.floor(),
                "ceil" => a.ceil(),
                "round" => a.round(),
                "sqrt" => a.sqrt(),
                "log2" => libm::log2(a),
                "exp2" => libm::exp2(a),
                _ => a.abs(),
            }))
        }
    }
}

fn combine(operator: &str, left: &Value, right: &Value) -> Option<Value> {
    Some(match (left, right) {
        (Value::Number(a), Value::Number(b)) => match operator {
            "+" => Value::Number(a + b),
            "-" => Value::Number(a - b),
            "*" => Value::Number(a * b),
            "/" => Value::Number(a / b),
            "^" => Value::Number(libm::pow(*a, *b)),
            "<" => Value::Truth(a < b),
            "<=" => Value::Truth(a <= b),
            ">" => Value::Truth(a > b),
            ">=" => Value::Truth(a >= b),
            "==" => Value::Truth(a == b),
            "!=" => Value::Truth(a != b),
            _ => return None,
        },
        (Value::Truth(a), Value::Truth(b)) => Value::Truth(match operator {
            "&&" => *a && *b,
            "||" => *a || *b,
            "==" => a == b,
            "!=" => a != b,
            _ => return None,
        }),
        (Value::Text(a), Value::Text(b)) => Value::Truth(match operator {
            "==" => a == b,
            "!=" => a != b,
            _ => return None,
        }),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn value(text: &str) -> Result<Value, ExpressionError> {
        let names = BTreeMap::from([
            ("a.b".to_owned(), Value::Number(3.0)),
            ("app".to_owned(), Value::Text("nerf".to_owned())),
        ]);
        Expression::parse(text, &["a.b", "app"])?.value(&names)
    }

    #[test]
    fn arithmetic_binds_as_usual() {
        for (text, result) in [
            ("1 + 2 * 3", 7.0),
            ("(1 + 2) * a.b", 9.0),
            ("2 ^ 3 ^ 2", 512.0),
            ("-a.b - -1", -2.0),
            ("10 - 4 - 3", 3.0),
            ("'4 KiB' / '1 KiB'", 4.0),
            ("max(1.5e1, min(2, a.b)) + log2(8)", 18.0),
            ("1e-1 * 10", 1.0),
        ] {
            assert_eq!(value(text), Ok(Value::Number(result)), "{text}");
        }
    }

    #[test]
    fn truths_and_names() {
        for (text, result) in [
            ("a.b <= 3 && app == 'nerf'", true),
            ("!(a.b > 2) || app != 'nerf'", false),
            ("a.b < 3 && app", false),
        ] {
            assert_eq!(value(text), Ok(Value::Truth(result)), "{text}");
        }
    }

    #[test]
    fn mistakes_have_a_place() {
        for (text, at, what) in [
            ("1 +", 3, "belongs here"),
            ("1 + b.c", 4, "\"b.c\" is no parameter"),
            ("4 MiB", 2, "an operator"),
            ("4MiB", 0, "quote quantities"),
            ("(1", 2, "closing parenthesis"),
            ("app + 1", 4, "does not apply to a name and a number"),
            ("min(1)", 6, "min takes 2"),
        ] {
            let error = value(text).unwrap_err();
            assert!(error.at == at && error.what.contains(what), "{text}: {error:?}");
        }
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "[-+*/^()'<>=!&|, a-c.0-9e\\PC]{0,40}") {
            let _ = value(&text);
        }

        #[test]
        fn deep_nesting_ends(depth in 1usize..3000) {
            let _ = value(&"(".repeat(depth));
            let _ = value(&"-".repeat(depth));
            let _ = value(&"2^".repeat(depth));
        }
    }
}
