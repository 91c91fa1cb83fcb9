//! The request of an `http` step.

use crate::definition::table::{Choice, Shape, Table, choice, field};

pub(crate) static HTTP: Table = Table {
    name: "a request",
    groups: &[&[
        field(
            "url",
            Shape::TextTemplate,
            "An absolute `http://` or `https://` URL without credentials; required unless `secrets` has it.",
        ),
        field("method", Shape::TextTemplate, "Any HTTP method, in any case.")
            .default("`GET`; with a body `POST`"),
        field(
            "query",
            Shape::MappingTemplate,
            "Added to the URL, encoded. A list repeats the name; null omits it.",
        ),
        field(
            "headers",
            Shape::MappingTemplate,
            "Texts, numbers, booleans, or lists of these.",
        ),
        field(
            "body",
            Shape::Template,
            "A mapping, list, number or boolean is sent as JSON, a text as `text/plain`, bytes unchanged. A `content-type` in `headers` overrides this.",
        ),
        field(
            "form",
            Shape::MappingTemplate,
            "Sent as `application/x-www-form-urlencoded`, instead of `body`.",
        ),
        field(
            "secrets",
            Shape::Request(&HTTP_SECRETS),
            "Where the worker inserts which secret.",
        ),
        field(
            "success",
            Shape::Template,
            "Statuses: one as `200`, a range as `\"200-299\"`, or a list of these.",
        )
        .default("`\"200-299\"`"),
        field(
            "retryable",
            Shape::Template,
            "Further statuses that are retried.",
        )
        .default("408, 425, 429 and 500–599 but 501 and 505"),
        field(
            "non_retryable",
            Shape::Template,
            "Statuses that are not retried; overrides `retryable`.",
        )
        .default("all others"),
        field(
            "timeout",
            Shape::Duration,
            "The timeout of one attempt; with `poll`, of each of its requests (default: 30s).",
        )
        .default("`start_to_close_timeout`"),
        field(
            "poll",
            Shape::Request(&HTTP_POLL),
            "Repeats the request as long as the answer is \"not yet\".",
        )
        .default("the first answer is used"),
        field(
            "redirects",
            Shape::NumberTemplate,
            "How many redirects are followed, 0 to 20. With 0, or if `success` lists the status, the redirect is the response.",
        )
        .default("10"),
        field(
            "response",
            Shape::OneOf(RESPONSES),
            "How the body is read.",
        )
        .default("`auto`"),
        field(
            "response_size_bytes_max",
            Shape::NumberTemplate,
            "The largest size of the body, after decompression, up to 2,097,152.",
        )
        .default("1,048,576"),
    ]],
};

pub(crate) static HTTP_POLL: Table = Table {
    name: "a way of polling",
    groups: &[&[
        field(
            "every",
            Shape::Duration,
            "How long to wait before the next request, unless a `Retry-After` header sets it.",
        )
        .default("10s"),
        field(
            "pending_status",
            Shape::Template,
            "Statuses that mean \"not yet\": as of `success`.",
        )
        .default("202"),
        field(
            "pending_body",
            Shape::MappingTemplate,
            "What means \"not yet\" in the body of a success: by JSON Pointer, a value or a list of values.",
        ),
    ]],
};

static RESPONSES: &[Choice] = &[
    choice("auto", "by its content type"),
    choice("json", "as JSON"),
    choice("text", "as text"),
    choice("bytes", "as bytes, in base64"),
    choice("none", "not at all"),
];

pub(crate) static HTTP_SECRETS: Table = Table {
    name: "a map of secrets",
    groups: &[&[
        field("headers", Shape::MappingTemplate, "Headers from secrets."),
        field(
            "query",
            Shape::MappingTemplate,
            "Parameters of the URL from secrets.",
        ),
        field(
            "body",
            Shape::MappingTemplate,
            "Places in the body, by JSON Pointer, from secrets; of a form, fields.",
        ),
        field(
            "basic_auth",
            Shape::Request(&HTTP_BASIC_AUTH),
            "A user's name, and the secret that is the password.",
        ),
        field("url", Shape::Template, "The whole URL; instead of `url`."),
    ]],
};

pub(crate) static HTTP_BASIC_AUTH: Table = Table {
    name: "basic authentication",
    groups: &[&[
        field("username", Shape::TextTemplate, "The user's name.").required(),
        field("password", Shape::Template, "The secret's name.").required(),
    ]],
};
