//! `[rules.X]`: what must hold for an alert. The artifact's form is the checked form.
