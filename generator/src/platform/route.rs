//! `[[routes]]`: which alert goes to whom. The artifact's form is the checked form.
