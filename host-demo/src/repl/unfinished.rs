//! Does a line go on? As long as a bracket, a comment or a text in backticks is open.

/// Is something open at the end of the text?
pub fn is(text: &str) -> bool {
    Reader { letters: text.chars().peekable() }.code(false)
}

struct Reader<'a> {
    letters: std::iter::Peekable<std::str::Chars<'a>>,
}

impl Reader<'_> {
    /// Reads code up to the end, or up to the bracket that ends `${...}`.
    fn code(&mut self, inside_text: bool) -> bool {
        let mut depth = 0i64;
        while let Some(letter) = self.letters.next() {
            let open = match letter {
                '(' | '[' | '{' => {
                    depth += 1;
                    false
                }
                '}' if inside_text && depth == 0 => return false,
                ')' | ']' | '}' => {
                    depth -= 1;
                    false
                }
                '"' | '\'' => self.quoted(letter),
                '`' => self.backticks(),
                '/' if self.letters.peek() == Some(&'/') => {
                    self.letters.by_ref().find(|&letter| letter == '\n');
                    false
                }
                '/' if self.letters.peek() == Some(&'*') => {
                    self.letters.next();
                    self.comment()
                }
                _ => false,
            };
            if open {
                return true;
            }
        }
        inside_text || depth > 0
    }

    /// A quoted text ends at the end of its line, whether it is closed or not; a backslash there carries it on.
    fn quoted(&mut self, end: char) -> bool {
        while let Some(letter) = self.letters.next() {
            match letter {
                '\\' => match self.letters.next() {
                    Some('\n') if self.letters.peek().is_none() => return true,
                    _ => {}
                },
                '\n' => return false,
                letter if letter == end => return false,
                _ => {}
            }
        }
        false
    }

    fn backticks(&mut self) -> bool {
        while let Some(letter) = self.letters.next() {
            match letter {
                '`' if self.letters.peek() == Some(&'`') => {
                    self.letters.next();
                }
                '`' => return false,
                '$' if self.letters.peek() == Some(&'{') => {
                    self.letters.next();
                    if self.code(true) {
                        return true;
                    }
                }
                _ => {}
            }
        }
        true
    }

    fn comment(&mut self) -> bool {
        let mut depth = 1;
        while let Some(letter) = self.letters.next() {
            match (letter, self.letters.peek()) {
                ('*', Some('/')) => {
                    self.letters.next();
                    depth -= 1;
                }
                ('/', Some('*')) => {
                    self.letters.next();
                    depth += 1;
                }
                _ => {}
            }
            if depth == 0 {
                return false;
            }
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::is;

    #[test]
    fn what_is_open_goes_on() {
        for text in
            ["fn f(x) {\n", "[1,\n", "f(\n", "/* a\n", "`a\nb\n", "`${ {1 \n", "let m = #{\n", "\"a \\\n", "/* /* */\n"]
        {
            assert!(is(text), "{text:?}");
        }
    }

    #[test]
    fn what_is_closed_or_wrong_does_not() {
        let texts = [
            "1 + 1\n",
            "f()\n",
            "// {\n",
            "\"{\"\n",
            "'('\n",
            "`{`\n",
            "`${#{a: 1}.a}`\n",
            "}\n",
            "\"open {\n",
            "a /* { */\n",
            "\n",
            "'{'\n",
        ];
        for text in texts {
            assert!(!is(text), "{text:?}");
        }
    }
}
