"""Every @dsl.component. The only room inside components that imports kfp; stages know nothing of it."""
