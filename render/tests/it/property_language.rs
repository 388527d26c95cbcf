//! Reading and printing are inverse, and nothing that anybody types brings the reader down.

use crate::random_language::component;
use proptest::prelude::*;
use tintype_render::Limits;
use tintype_render::language::{Component, Transformation, canonical, parse, parse_address};

proptest! {
    #![proptest_config(ProptestConfig { cases: 600, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn reading_what_was_printed_gives_the_same(
        components in proptest::collection::vec(component(), 0..5)
            .prop_map(|all| all.into_iter().filter(|one| *one != Component::default()).collect::<Vec<_>>()),
    ) {
        let transformation = Transformation { components };
        let text = canonical(&transformation);
        let read = parse(&text, &Limits::default());
        prop_assert_eq!(read.as_ref(), Ok(&transformation), "{}", text);
        prop_assert_eq!(canonical(&transformation), text);
    }

    #[test]
    fn any_text_is_read_or_refused(text in "\\PC{0,200}") {
        let _ = parse(&text, &Limits::default());
        let _ = parse_address(&text, true);
    }

    #[test]
    fn nearly_legal_text_is_read_or_refused(
        parts in proptest::collection::vec(("[a-z]{1,3}", "[_:.,/%$-]{0,2}", "[a-z0-9.:%-]{0,12}"), 0..12),
    ) {
        let text: String = parts.iter().map(|(key, separator, value)| format!("{key}_{value}{separator}")).collect();
        if let Ok(transformation) = parse(&text, &Limits::default()) {
            let printed = canonical(&transformation);
            prop_assert_eq!(parse(&printed, &Limits::default()), Ok(transformation), "{} from {}", printed, text);
        }
        let _ = parse_address(&format!("/demo/image/upload/{text}/x.jpg"), true);
    }
}
