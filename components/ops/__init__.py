"""Every component, as KFP sees it. The only room inside components that imports kfp; stages know nothing of it."""
