//! Tokens -> a text that may be shown.

use super::lexer::{Lexer, Token};

/// The longest text, in bytes; what is longer is cut.
const TEXT_MAX: usize = 2048;

/// The statement with `?` in the place of each literal and of each list of literals, and without comments.
pub(super) fn text(mut lexer: Lexer<'_>) -> String {
    let mut writer = Writer::default();
    while let Some(token) = lexer.next() {
        if writer.out.len() >= TEXT_MAX {
            writer.out.truncate(writer.out.floor_char_boundary(TEXT_MAX));
            writer.out.push('…');
            break;
        }
        writer.token(token, lexer.is_spaced());
    }
    writer.end()
}

#[derive(Default)]
struct Writer {
    out: String,
    /// The last token was a literal.
    after_literal: bool,
    /// A comma behind a literal that is not written yet, and whether it had a space before it.
    comma: Option<bool>,
    setting: Setting,
}

/// How far a statement is read that may set a parameter of the server: its value may stand without quotes.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Setting {
    /// Before the first word.
    #[default]
    Begin,
    /// It begins with `ALTER`.
    MayCome,
    /// The name of the parameter comes.
    Name,
    /// The value comes.
    Value,
    /// It sets no parameter.
    None,
}

impl Setting {
    fn next(self, token: Token<'_>) -> Self {
        match self {
            _ if token == Token::Symbol(b';') => Self::Begin,
            Self::Begin | Self::MayCome if token.is("SET") => Self::Name,
            Self::Begin if token.is("ALTER") => Self::MayCome,
            Self::Begin => Self::None,
            Self::Name if token == Token::Symbol(b'=') || token.is("TO") => Self::Value,
            other => other,
        }
    }
}

impl Writer {
    fn token(&mut self, token: Token<'_>, is_spaced: bool) {
        let is_value = self.setting == Setting::Value && matches!(token, Token::Word(_) | Token::Quoted(..));
        self.setting = self.setting.next(token);
        let token = if is_value { Token::Literal } else { token };
        let is_literal = token == Token::Literal;
        if let Some(comma_spaced) = self.comma.take() {
            if is_literal {
                return;
            }
            self.space(comma_spaced);
            self.out.push(',');
        }
        if self.after_literal && token == Token::Symbol(b',') {
            self.comma = Some(is_spaced);
            return;
        }
        self.space(is_spaced);
        match token {
            Token::Word(word) | Token::Parameter(word) => self.out.push_str(&String::from_utf8_lossy(word)),
            Token::Quoted(name, quote) => {
                self.out.push(quote.into());
                self.out.push_str(&String::from_utf8_lossy(name));
                self.out.push(quote.into());
            }
            Token::Literal => self.out.push('?'),
            Token::Symbol(symbol) => self.out.push(symbol.into()),
        }
        self.after_literal = is_literal;
        self.fold_rows();
    }

    fn space(&mut self, is_spaced: bool) {
        if is_spaced && !self.out.is_empty() {
            self.out.push(' ');
        }
    }

    /// A row of literals behind another one says nothing more.
    fn fold_rows(&mut self) {
        for rows in ["(?), (?)", "(?),(?)"] {
            if self.out.ends_with(rows) {
                self.out.truncate(self.out.len() - (rows.len() - "(?)".len()));
            }
        }
    }

    fn end(mut self) -> String {
        if self.comma.is_some() {
            self.out.push(',');
        }
        self.out
    }
}
