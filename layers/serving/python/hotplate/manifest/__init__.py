"""What a published version is, and where its bytes lie. Rules only; no input or output."""
