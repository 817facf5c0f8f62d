//! What the command prints and how it ends, for each of its verbs. `TRYCMD=overwrite` writes what it prints now.

#[test]
fn commands_print_what_is_recorded() {
    trycmd::TestCases::new().case("tests/cli/*.trycmd");
}
