//! What Go's JSON scanner says of text that is no JSON.

use std::iter::Peekable;
use std::str::Chars;

/// Deeper nesting is refused.
const DEPTH_MAX: usize = 10_000;

/// The fault of a text that should be one value; `None` if it is.
pub(super) fn whole(text: &str) -> Option<String> {
    let mut scanner = Scanner { rest: text.chars().peekable(), end: "unexpected end of JSON input" };
    scanner.whole().err()
}

/// The fault of the first value of a text.
pub(super) fn first(text: &str) -> Option<String> {
    let mut scanner = Scanner { rest: text.chars().peekable(), end: "unexpected EOF" };
    scanner.value(0).err()
}

struct Scanner<'a> {
    rest: Peekable<Chars<'a>>,
    /// What is said when the text ends too early.
    end: &'static str,
}

type Scan = Result<(), String>;

impl Scanner<'_> {
    fn whole(&mut self) -> Scan {
        self.value(0)?;
        match self.peek_word() {
            Some(c) => Err(unexpected(c, "after top-level value")),
            None => Ok(()),
        }
    }

    /// The next character that is no space, not taken.
    fn peek_word(&mut self) -> Option<char> {
        while self.rest.next_if(|c| matches!(c, ' ' | '\t' | '\r' | '\n')).is_some() {}
        self.rest.peek().copied()
    }

    fn word(&mut self) -> Result<char, String> {
        self.peek_word();
        self.next()
    }

    fn next(&mut self) -> Result<char, String> {
        self.rest.next().ok_or_else(|| self.end.to_owned())
    }

    fn value(&mut self, depth: usize) -> Scan {
        if depth > DEPTH_MAX {
            return Err("exceeded max depth".to_owned());
        }
        match self.word()? {
            '{' => self.object(depth),
            '[' => self.array(depth),
            '"' => self.string(),
            't' => self.literal("true"),
            'f' => self.literal("false"),
            'n' => self.literal("null"),
            c @ ('-' | '0'..='9') => self.number(c),
            c => Err(unexpected(c, "looking for beginning of value")),
        }
    }

    fn object(&mut self, depth: usize) -> Scan {
        let mut first = true;
        loop {
            match self.word()? {
                '"' => self.string()?,
                '}' if first => return Ok(()),
                c => return Err(unexpected(c, "looking for beginning of object key string")),
            }
            first = false;
            match self.word()? {
                ':' => self.value(depth + 1)?,
                c => return Err(unexpected(c, "after object key")),
            }
            match self.word()? {
                ',' => {}
                '}' => return Ok(()),
                c => return Err(unexpected(c, "after object key:value pair")),
            }
        }
    }

    fn array(&mut self, depth: usize) -> Scan {
        if self.peek_word() == Some(']') {
            return self.next().map(drop);
        }
        loop {
            self.value(depth + 1)?;
            match self.word()? {
                ',' => {}
                ']' => return Ok(()),
                c => return Err(unexpected(c, "after array element")),
            }
        }
    }

    fn string(&mut self) -> Scan {
        loop {
            match self.next()? {
                '"' => return Ok(()),
                '\\' => match self.next()? {
                    '"' | '\\' | '/' | 'b' | 'f' | 'n' | 'r' | 't' => {}
                    'u' => {
                        for _ in 0..4 {
                            let c = self.next()?;
                            if !c.is_ascii_hexdigit() {
                                return Err(unexpected(c, "in \\u hexadecimal character escape"));
                            }
                        }
                    }
                    c => return Err(unexpected(c, "in string escape code")),
                },
                c if c < ' ' => return Err(unexpected(c, "in string literal")),
                _ => {}
            }
        }
    }

    /// After the first character.
    fn literal(&mut self, word: &str) -> Scan {
        for wanted in word.chars().skip(1) {
            let c = self.next()?;
            if c != wanted {
                return Err(unexpected(c, &format!("in literal {word} (expecting '{wanted}')")));
            }
        }
        Ok(())
    }

    fn number(&mut self, first: char) -> Scan {
        let mut digit = first;
        if first == '-' {
            digit = self.next()?;
            if !digit.is_ascii_digit() {
                return Err(unexpected(digit, "in numeric literal"));
            }
        }
        if digit != '0' {
            self.digits();
        }
        if self.rest.next_if_eq(&'.').is_some() {
            self.some_digits("after decimal point in numeric literal")?;
        }
        if self.rest.next_if(|c| matches!(c, 'e' | 'E')).is_some() {
            self.rest.next_if(|c| matches!(c, '+' | '-'));
            self.some_digits("in exponent of numeric literal")?;
        }
        Ok(())
    }

    fn digits(&mut self) {
        while self.rest.next_if(char::is_ascii_digit).is_some() {}
    }

    fn some_digits(&mut self, place: &str) -> Scan {
        let c = self.next()?;
        if !c.is_ascii_digit() {
            return Err(unexpected(c, place));
        }
        self.digits();
        Ok(())
    }
}

fn unexpected(c: char, place: &str) -> String {
    let shown = match c {
        '\'' => r"'\''".to_owned(),
        '"' => "'\"'".to_owned(),
        c if c < ' ' => format!("'{}'", c.escape_default()),
        c => format!("'{c}'"),
    };
    format!("invalid character {shown} {place}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_are_told_as_go_tells_them() {
        let cases = [
            ("nonsense", "invalid character 'o' in literal null (expecting 'u')"),
            ("{", "unexpected end of JSON input"),
            (r#"{"a":["b"]"#, "unexpected end of JSON input"),
            (r#"{"a"}"#, "invalid character '}' after object key"),
            ("{,}", "invalid character ',' looking for beginning of object key string"),
            (r#"{"name":["a"]} x"#, "invalid character 'x' after top-level value"),
            ("[1 2]", "invalid character '2' after array element"),
            ("1.x", "invalid character 'x' after decimal point in numeric literal"),
        ];
        for (text, message) in cases {
            assert_eq!(whole(text).as_deref(), Some(message), "{text}");
        }
        assert_eq!(first(r#"{"Name":"#).as_deref(), Some("unexpected EOF"));
        assert_eq!(
            first("{bad").as_deref(),
            Some("invalid character 'b' looking for beginning of object key string")
        );
        for good in [" {} ", r#"{"a":[1,-0.5e+3,true,null,"\u00e9\n"],"b":{}}"#] {
            assert_eq!(whole(good), None, "{good}");
        }
        assert_eq!(first("{} trailing"), None);
    }
}
