//! PostgreSQL's grammar where the parser's dialect falls short of it: the precedence of operators (`gram.y`), and
//! infix and prefix forms that it doesn't read. What is read here becomes a tree that lowering takes for `Opaque`.

use std::any::TypeId;

use sqlparser::ast::{
    BinaryOperator, DataType, Expr, Ident, ObjectName, TypedString, UnaryOperator, Value, ValueWithSpan,
};
use sqlparser::dialect::{Dialect, PostgreSqlDialect, Precedence};
use sqlparser::keywords::Keyword;
use sqlparser::parser::{Parser, ParserError};
use sqlparser::tokenizer::Token;

type Result<T> = std::result::Result<T, ParserError>;

/// The parser's PostgreSQL dialect, corrected.
#[derive(Debug)]
pub(super) struct Postgres;

const BASE: PostgreSqlDialect = PostgreSqlDialect {};

/// `%left Op OPERATOR`, between comparison and `+`.
const OPERATOR: u8 = 70;
const COLLATE: u8 = 120;

macro_rules! as_base {
    ($($name:ident),* $(,)?) => {
        $(fn $name(&self) -> bool { BASE.$name() })*
    };
}

impl Dialect for Postgres {
    fn dialect(&self) -> TypeId {
        TypeId::of::<PostgreSqlDialect>()
    }

    fn identifier_quote_style(&self, identifier: &str) -> Option<char> {
        BASE.identifier_quote_style(identifier)
    }

    fn is_delimited_identifier_start(&self, ch: char) -> bool {
        BASE.is_delimited_identifier_start(ch)
    }

    fn is_identifier_start(&self, ch: char) -> bool {
        BASE.is_identifier_start(ch)
    }

    fn is_identifier_part(&self, ch: char) -> bool {
        BASE.is_identifier_part(ch)
    }

    fn is_custom_operator_part(&self, ch: char) -> bool {
        BASE.is_custom_operator_part(ch)
    }

    fn is_reserved_for_identifier(&self, kw: Keyword) -> bool {
        BASE.is_reserved_for_identifier(kw)
    }

    fn is_table_alias(&self, kw: &Keyword, parser: &mut Parser) -> bool {
        BASE.is_table_alias(kw, parser)
    }

    fn prec_value(&self, prec: Precedence) -> u8 {
        BASE.prec_value(prec)
    }

    as_base!(
        supports_unicode_string_literal,
        supports_filter_during_aggregation,
        supports_group_by_expr,
        supports_alter_user_as_alter_role,
        allow_extract_custom,
        allow_extract_single_quotes,
        supports_create_index_with_clause,
        supports_explain_with_utility_options,
        supports_listen_notify,
        supports_exclude_constraint,
        supports_factorial_operator,
        supports_bitwise_shift_operators,
        supports_comment_on,
        supports_load_extension,
        supports_named_fn_args_with_colon_operator,
        supports_named_fn_args_with_expr_name,
        supports_empty_projections,
        supports_nested_comments,
        supports_string_escape_constant,
        supports_numeric_literal_underscores,
        supports_array_typedef_with_brackets,
        supports_geometric_types,
        supports_order_by_using_operator,
        supports_set_names,
        supports_alter_column_type_using,
        supports_left_associative_joins_without_parens,
        supports_notnull_operator,
        supports_interval_options,
        supports_insert_table_alias,
        supports_create_table_like_parenthesized,
        supports_select_wildcard_with_alias,
        supports_comma_separated_trim,
        supports_xml_expressions,
        supports_aliased_function_args,
        supports_comment_optimizer_hint,
    );

    fn get_next_precedence(&self, parser: &Parser) -> Option<Result<u8>> {
        if let Token::Word(w) = &parser.peek_token_ref().token
            && w.quote_style.is_none()
        {
            match w.keyword {
                Keyword::NoKeyword if w.value.eq_ignore_ascii_case("isnull") => {
                    return Some(Ok(self.prec_value(Precedence::Is)));
                }
                Keyword::OPERATOR => return Some(Ok(OPERATOR)),
                // Operators of other dialects; names here.
                Keyword::XOR
                | Keyword::DIV
                | Keyword::RLIKE
                | Keyword::REGEXP
                | Keyword::MATCH
                | Keyword::GLOB
                | Keyword::MEMBER => return Some(Ok(self.prec_unknown())),
                _ => {}
            }
        }
        BASE.get_next_precedence(parser)
    }

    fn parse_prefix(&self, parser: &mut Parser) -> Option<Result<Expr>> {
        match &parser.peek_token_ref().token {
            Token::CustomBinaryOperator(_) => {
                parser.next_token();
                Some(parser.parse_subexpr(OPERATOR).map(|e| Expr::UnaryOp {
                    op: UnaryOperator::PGAbs,
                    expr: Box::new(e),
                }))
            }
            // `inet '::1'`: a constant of any type.
            Token::Word(w)
                if matches!(w.keyword, Keyword::NoKeyword | Keyword::NAME | Keyword::XML)
                    && is_string(&parser.peek_nth_token_ref(1).token) =>
            {
                let ty = ObjectName::from(vec![Ident::new(w.value.clone())]);
                parser.next_token();
                let value = parser.next_token();
                Some(Ok(Expr::TypedString(TypedString {
                    data_type: DataType::Custom(ty, Vec::new()),
                    value: constant(value.token, value.span),
                    uses_odbc_syntax: false,
                })))
            }
            _ => None,
        }
    }

    fn parse_infix(&self, parser: &mut Parser, expr: &Expr, precedence: u8) -> Option<Result<Expr>> {
        let token = parser.peek_token_ref().token.clone();
        match &token {
            // What isn't copied by the parser is left to it: a copy for each link of a chain would be many.
            Token::CustomBinaryOperator(_) => {
                let quantified = matches!(
                    &parser.peek_nth_token_ref(1).token,
                    Token::Word(w) if matches!(w.keyword, Keyword::ANY | Keyword::ALL | Keyword::SOME)
                );
                if !quantified {
                    return None;
                }
                parser.next_token();
                Some(operand(parser, expr, OPERATOR))
            }
            Token::Word(w) if w.quote_style.is_none() => match w.keyword {
                Keyword::OPERATOR => {
                    parser.next_token();
                    Some(named_operator(parser).and_then(|()| operand(parser, expr, OPERATOR)))
                }
                Keyword::NoKeyword if w.value.eq_ignore_ascii_case("isnull") => {
                    parser.next_token();
                    Some(Ok(Expr::IsNull(Box::new(expr.clone()))))
                }
                Keyword::COLLATE if precedence == COLLATE => {
                    parser.next_token();
                    Some(parser.parse_object_name(false).map(|collation| Expr::Collate {
                        expr: Box::new(expr.clone()),
                        collation,
                    }))
                }
                Keyword::IS => is_document(parser).then(|| Ok(Expr::IsTrue(Box::new(expr.clone())))),
                Keyword::NOT | Keyword::BETWEEN => {
                    symmetric(parser).then(|| between_symmetric(self, parser, expr))
                }
                _ => None,
            },
            _ => None,
        }
    }
}

fn is_string(token: &Token) -> bool {
    matches!(
        token,
        Token::SingleQuotedString(_) | Token::EscapedStringLiteral(_) | Token::DollarQuotedString(_)
    )
}

fn constant(token: Token, span: sqlparser::tokenizer::Span) -> ValueWithSpan {
    let value = match token {
        Token::SingleQuotedString(s) => Value::SingleQuotedString(s),
        Token::DollarQuotedString(s) => Value::DollarQuotedString(s),
        _ => Value::EscapedStringLiteral(String::new()),
    };
    ValueWithSpan { value, span }
}

/// Behind an operator: an operand, or ANY or ALL of an array or a query.
fn operand(parser: &mut Parser, left: &Expr, precedence: u8) -> Result<Expr> {
    let any = parser
        .parse_one_of_keywords(&[Keyword::ANY, Keyword::ALL, Keyword::SOME])
        .is_some();
    let right = if any {
        parser.parse_prefix()?
    } else {
        parser.parse_subexpr(precedence)?
    };
    Ok(opaque(left, right))
}

fn opaque(left: &Expr, right: Expr) -> Expr {
    Expr::BinaryOp {
        left: Box::new(left.clone()),
        op: BinaryOperator::Custom(String::new()),
        right: Box::new(right),
    }
}

/// `(pg_catalog.=)`: an operator that is looked into by nobody.
fn named_operator(parser: &mut Parser) -> Result<()> {
    parser.expect_token(&Token::LParen)?;
    loop {
        match parser.next_token().token {
            Token::RParen => return Ok(()),
            Token::EOF => return Err(ParserError::ParserError("OPERATOR( never ends".into())),
            _ => {}
        }
    }
}

/// `IS [NOT] DOCUMENT`, taken if it is next.
fn is_document(parser: &mut Parser) -> bool {
    let word = |n: usize, w: &str| matches!(&parser.peek_nth_token_ref(n).token, Token::Word(x) if x.value.eq_ignore_ascii_case(w));
    let length = if word(1, "document") {
        2
    } else if word(1, "not") && word(2, "document") {
        3
    } else {
        return false;
    };
    for _ in 0..length {
        parser.next_token();
    }
    true
}

/// `[NOT] BETWEEN SYMMETRIC`, taken if it is next.
fn symmetric(parser: &mut Parser) -> bool {
    parser.parse_keywords(&[Keyword::BETWEEN, Keyword::SYMMETRIC])
        || parser.parse_keywords(&[Keyword::NOT, Keyword::BETWEEN, Keyword::SYMMETRIC])
}

fn between_symmetric(dialect: &Postgres, parser: &mut Parser, expr: &Expr) -> Result<Expr> {
    let precedence = dialect.prec_value(Precedence::Between);
    let low = parser.parse_subexpr(precedence)?;
    parser.expect_keyword(Keyword::AND)?;
    let high = parser.parse_subexpr(precedence)?;
    Ok(opaque(&opaque(expr, low), high))
}
