//! Tokens -> a summary: OpenTelemetry's conventions for databases, "Generating a summary of the query".

use super::lexer::{Lexer, Token};

/// The longest summary by the conventions, in bytes. Neither an operation nor a target is cut.
const SUMMARY_MAX: usize = 255;

/// Parentheses within parentheses that are followed; what is deeper says nothing more.
const LEVELS_MAX: usize = 64;

/// What a statement does whose operation is not known.
const UNKNOWN: &str = "QUERY";

/// Operations that read from or change what they name behind `FROM`, `INTO`, `JOIN`.
const QUERIES: [&str; 4] = ["INSERT", "DELETE", "MERGE", "UPDATE"];

/// An operation of MySQL like those. Elsewhere the word names a function.
const REPLACE: &str = "REPLACE";

/// Operations that a summary names without a target.
const ALONE: [&str; 47] = [
    "ABORT",
    "ANALYZE",
    "BEGIN",
    "CHECKPOINT",
    "CLOSE",
    "CLUSTER",
    "COMMENT",
    "COMMIT",
    "DEALLOCATE",
    "DECLARE",
    "DESC",
    "DISCARD",
    "DO",
    "END",
    "EXPLAIN",
    "FETCH",
    "FLUSH",
    "GRANT",
    "HANDLER",
    "IMPORT",
    "KILL",
    "LOAD",
    "MOVE",
    "OPTIMIZE",
    "REASSIGN",
    "REFRESH",
    "REINDEX",
    "RELEASE",
    "RENAME",
    "REPAIR",
    "RESET",
    "REVOKE",
    "ROLLBACK",
    "SAVEPOINT",
    "SECURITY",
    "SET",
    "SHOW",
    "START",
    "TABLE",
    "UNLISTEN",
    "UNLOCK",
    "USE",
    "VACUUM",
    "VALUES",
    "XA",
    "DESCRIBE",
    "PRAGMA",
];

/// Operations with the name of what they are about right behind them.
const ON_A_NAME: [&str; 8] = ["COPY", "CALL", "TRUNCATE", "LOCK", "EXECUTE", "PREPARE", "LISTEN", "NOTIFY"];

/// Operations on a kind of thing, which has a name.
const ON_A_KIND: [&str; 3] = ["CREATE", "ALTER", "DROP"];

/// Kinds of things.
const KINDS: [&str; 20] = [
    "TABLE",
    "EVENT",
    "INDEX",
    "VIEW",
    "SCHEMA",
    "SEQUENCE",
    "FUNCTION",
    "TYPE",
    "DATABASE",
    "EXTENSION",
    "TRIGGER",
    "PROCEDURE",
    "ROLE",
    "USER",
    "PUBLICATION",
    "SUBSCRIPTION",
    "POLICY",
    "DOMAIN",
    "RULE",
    "SERVER",
];

/// Words that may stand before the name of a target.
const BEFORE_NAME: [&str; 13] = [
    "ONLY",
    "LATERAL",
    "IF",
    "NOT",
    "EXISTS",
    "CONCURRENTLY",
    "TABLE",
    "TABLES",
    "ON",
    "IGNORE",
    "LOW_PRIORITY",
    "OUTFILE",
    "DUMPFILE",
];

/// Words behind which no list of tables goes on.
const END_OF_TABLES: [&str; 14] = [
    "WHERE",
    "GROUP",
    "HAVING",
    "ORDER",
    "LIMIT",
    "OFFSET",
    "FETCH",
    "WINDOW",
    "UNION",
    "INTERSECT",
    "EXCEPT",
    "RETURNING",
    "SET",
    "FOR",
];

/// Operations and targets in the order in which they stand.
pub(super) fn summary(lexer: Lexer<'_>) -> String {
    let mut reader = Reader { lexer, out: String::new(), levels: vec![Level::default()], is_next: false };
    while let Some(token) = reader.lexer.next() {
        reader.token(token);
    }
    if reader.out.is_empty() { UNKNOWN.to_owned() } else { reader.out }
}

struct Reader<'a> {
    lexer: Lexer<'a>,
    out: String,
    /// The parentheses that are open, and the statement around them.
    levels: Vec<Level>,
    /// A statement has ended, and the next may begin.
    is_next: bool,
}

/// What stands between a pair of parentheses.
#[derive(Clone, Copy, Debug, Default)]
struct Level {
    stage: Stage,
    /// Whether a comma leads to another table.
    lists_tables: bool,
    expects: Expects,
    after: After,
}

/// The last word, if it changes what the next one means.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum After {
    #[default]
    Nothing,
    /// `DISTINCT`, as in `IS DISTINCT FROM`.
    Distinct,
    /// `ON`, as in `ON UPDATE CASCADE`.
    On,
}

/// How far it is known what stands between a pair of parentheses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Stage {
    /// No word has come.
    #[default]
    Begin,
    /// It is no query, or none yet.
    Other,
    /// It is a query, so that `FROM` names tables.
    Query,
}

/// Which name comes next.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Expects {
    #[default]
    Nothing,
    /// The target of the operation.
    Target,
    /// A table to read from; a name with a parenthesis behind it is a function.
    Table,
    /// The kind of thing that the operation is on.
    Kind,
}

impl Level {
    /// A word has come.
    fn begin(&mut self) {
        if self.stage == Stage::Begin {
            self.stage = Stage::Other;
        }
    }
}

impl Reader<'_> {
    fn token(&mut self, token: Token<'_>) {
        let depth = self.levels.len();
        let Some(level) = self.levels.last_mut() else { return };
        let after = std::mem::take(&mut level.after);
        match (token, level.expects) {
            (Token::Word(_) | Token::Quoted(..), Expects::Target | Expects::Table) => self.name(token),
            (Token::Word(_), Expects::Kind) => {
                if let Some(kind) = KINDS.into_iter().find(|kind| token.is(kind)) {
                    level.expects = Expects::Target;
                    self.say(kind);
                }
            }
            (Token::Word(_), Expects::Nothing) => self.word(token, after),
            (Token::Symbol(b'('), _) => {
                level.expects = Expects::Nothing;
                if depth < LEVELS_MAX {
                    self.levels.push(Level::default());
                }
            }
            (Token::Symbol(b')'), _) if depth > 1 => {
                self.levels.pop();
            }
            (Token::Symbol(b','), _) => {
                level.expects = if level.lists_tables { Expects::Table } else { Expects::Nothing }
            }
            (Token::Symbol(b';'), _) => {
                self.levels.truncate(1);
                self.levels[0] = Level::default();
                self.is_next = true;
            }
            (Token::Quoted(..) | Token::Literal | Token::Parameter(_) | Token::Symbol(_), _) => {
                level.expects = Expects::Nothing;
                level.begin();
            }
        }
    }

    /// A word where no name is expected.
    fn word(&mut self, word: Token<'_>, after: After) {
        let Some(level) = self.levels.last_mut() else { return };
        let one_of = |words: &[&'static str]| words.iter().copied().find(|other| word.is(other));
        let begins = level.stage == Stage::Begin;
        level.begin();
        level.after = match word {
            _ if word.is("DISTINCT") => After::Distinct,
            _ if word.is("ON") => After::On,
            _ => After::Nothing,
        };
        if word.is("SELECT") {
            level.stage = Stage::Query;
            level.lists_tables = false;
            return self.say("SELECT");
        }
        if level.stage != Stage::Query
            && after != After::On
            && let Some(operation) = one_of(&QUERIES).or(one_of(&[REPLACE]).filter(|_| begins))
        {
            level.stage = Stage::Query;
            if operation == "UPDATE" {
                level.expects = Expects::Target;
            }
            return self.say(operation);
        }
        if level.stage == Stage::Query {
            if word.is("FROM") && after != After::Distinct {
                level.lists_tables = true;
                level.expects = Expects::Table;
            } else if word.is("JOIN") || word.is("USING") {
                level.expects = Expects::Table;
            } else if word.is("INTO") {
                level.expects = Expects::Target;
            } else if one_of(&END_OF_TABLES).is_some() {
                level.lists_tables = false;
            }
        } else if begins && self.levels.len() == 1 {
            let Some(level) = self.levels.last_mut() else { return };
            if let Some(operation) = one_of(&ON_A_NAME) {
                level.expects = Expects::Target;
                self.say(operation);
            } else if let Some(operation) = one_of(&ON_A_KIND) {
                level.expects = Expects::Kind;
                self.say(operation);
            } else if let Some(operation) = one_of(&ALONE) {
                // What is explained is a statement as well.
                if operation == "EXPLAIN" {
                    level.stage = Stage::Begin;
                }
                self.say(if operation == "START" { "START TRANSACTION" } else { operation });
            }
        }
    }

    /// A name where one is expected.
    fn name(&mut self, first: Token<'_>) {
        let Some(level) = self.levels.last_mut() else { return };
        if BEFORE_NAME.iter().any(|word| first.is(word)) {
            return;
        }
        if first.is("SELECT") || first.is("VALUES") {
            level.expects = Expects::Nothing;
            return self.word(first, After::Nothing);
        }
        let is_table = std::mem::take(&mut level.expects) == Expects::Table;
        level.begin();
        let mut name = part(first);
        while self.lexer.peek() == Some(Token::Symbol(b'.')) {
            let mut ahead = self.lexer.clone();
            ahead.next();
            let Some(next @ (Token::Word(_) | Token::Quoted(..))) = ahead.next() else { break };
            self.lexer = ahead;
            name.push('.');
            name.push_str(&part(next));
        }
        if !(is_table && self.lexer.peek() == Some(Token::Symbol(b'('))) {
            self.say(&name);
        }
    }

    fn say(&mut self, part: &str) {
        let between = match (self.out.is_empty(), std::mem::take(&mut self.is_next)) {
            (true, _) => "",
            (false, true) => "; ",
            (false, false) => " ",
        };
        if self.out.len() + between.len() + part.len() <= SUMMARY_MAX {
            self.out.push_str(between);
            self.out.push_str(part);
        }
    }
}

/// A name, or a part of one that has several.
fn part(token: Token<'_>) -> String {
    match token {
        Token::Word(name) | Token::Quoted(name, _) => String::from_utf8_lossy(name).into_owned(),
        Token::Literal | Token::Parameter(_) | Token::Symbol(_) => String::new(),
    }
}
